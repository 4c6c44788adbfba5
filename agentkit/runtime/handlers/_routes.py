"""The one register that every module of this folder adds its rows to."""

from agentkit.runtime.routes import Routes

__all__ = ["routes"]

routes = Routes()
