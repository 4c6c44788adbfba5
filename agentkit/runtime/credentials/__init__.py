"""Credentials: API keys, sealed secrets, connections to providers, and what an app or tool needs of them."""
