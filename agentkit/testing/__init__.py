"""FLOOR 4. What tests of a program that uses agentkit need: models that answer as told, and gates to stop them at.

from agentkit import Runtime
from agentkit.testing import Scripted, call, finish

script = Scripted([call("get_weather", {"city": "Paris"}), finish({"temp_c": 18})])
with Runtime(models={"scripted": script}) as runtime:
    agent = runtime.client().agent({"core_app": {"ref": "scripted/any"}, ...})
    agent.run("What is the weather in Paris?")
script.assert_complete()
"""

from agentkit.testing.gates import Gate, Signal
from agentkit.testing.models import Auto, Call, Scripted, Thought, call, error, finish, gate, hang, think

__all__ = ["Auto", "Call", "Gate", "Scripted", "Signal", "Thought", "call", "error", "finish", "gate", "hang", "think"]
