"""Apps to begin with: `agentkit app init --template NAME` copies one of these folders."""
