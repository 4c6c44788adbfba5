"""Connections to MCP servers: started when first used, kept, taken up again, closed with the platform.

The modules that speak the protocol (`connection`, `process`, `http`, `answers`) need the extra `mcp`, and are imported
by `server` when a connection is made.
"""
