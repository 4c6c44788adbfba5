"""`python -m agentkit` is the `agentkit` command."""

from agentkit.cli.main import main

if __name__ == "__main__":
    main()
