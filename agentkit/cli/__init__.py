"""FLOOR 4. The `agentkit` command; one word, one file."""
