"""The models: one file per provider, found by its name (`openai.py` answers to `openai/...`).

A provider's module has `provide(environ) -> ModelProvider`, which reads what it needs from the environment it is given
and raises ConfigError where something is missing. Packages add theirs under the entry point group `agentkit.models`.
`registry.py` decides which of them a reference means.
"""
