"""FLOOR 2. I/O for people who use a platform: configuration, transport, the two drivers, agents, resources."""
