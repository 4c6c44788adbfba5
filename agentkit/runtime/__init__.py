"""FLOOR 2. I/O for people who serve a platform: the ports and their implementations, the loop, the server."""
