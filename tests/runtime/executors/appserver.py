"""A server with real workers and a model that does as the user says, to be killed: see `tests.runtime.taskserver`.

A user's text is a JSON list of calls, `[["tool", {...}], ...]`; the model makes them at once and then says what they
gave. It remembers nothing, so a server that begins anew has the same one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from agentkit.runtime.ports import ModelRequest
from agentkit.testing import Scripted, call
from agentkit.wire import LLMDelta
from tests.runtime.taskserver import serve

MODULE = "tests.runtime.executors.appserver"


class Obedient:
    """The model."""

    name = "obedient"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[LLMDelta]:
        answers = [each.text for each in request.messages if each.role == "tool"]
        asked = [call(name, arguments) for name, arguments in json.loads(request.messages[0].text)]
        async for delta in Scripted([json.dumps(answers) if answers else asked]).stream(request):
            yield delta


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), providers={"obedient": Obedient()}))
