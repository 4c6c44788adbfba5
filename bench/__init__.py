"""What agentkit costs beside doing the same by hand: `python -m bench`, read `bench/README.md` first."""
