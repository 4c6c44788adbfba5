"""The models of apps that answer as language models, as agents call them (protocol.md 5.3, last paragraph).

An app composes its input of `LLMInput` and the mixins of what its model can do:

    class AppInput(LLMInput, ImageCapabilityMixin, ToolsCapabilityMixin): ...
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from agentkit.apps.file import File
from agentkit.apps.models import BaseAppInput, BaseAppOutput, OrderedModel

__all__ = [
    "BaseLLMInput",
    "BaseLLMOutput",
    "ContextMessage",
    "ContextMessageRole",
    "FileCapabilityMixin",
    "ImageCapabilityMixin",
    "ImagesMixin",
    "LLMInput",
    "LLMOutput",
    "LLMUsage",
    "LLMUsageMixin",
    "Message",
    "ReasoningCapabilityMixin",
    "ReasoningEffortEnum",
    "ReasoningMixin",
    "ToolCallsMixin",
    "ToolsCapabilityMixin",
]

DEFAULT_PROMPT = "you are a helpful assistant that can answer questions and help with tasks."


class ContextMessageRole(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class ReasoningEffortEnum(StrEnum):
    """How long to think first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    NONE = "none"


class Message(BaseAppInput):
    """A message of text alone."""

    role: ContextMessageRole
    content: str


class ContextMessage(BaseAppInput):
    """A message of the conversation so far. `tool_calls` are OpenAI's objects, `tool_call_id` names one answered."""

    role: ContextMessageRole = Field(description="the role of the message: user, assistant, system or tool")
    text: str = Field(description="the text of the message")
    reasoning: str | None = Field(default=None, description="the reasoning of the message")
    images: list[File] | None = Field(default=None, description="the images of the message")
    files: list[File] | None = Field(default=None, description="the files of the message")
    tool_calls: list[dict[str, Any]] | None = Field(default=None, description="the tool calls of the message")
    tool_call_id: str | None = Field(default=None, description="the tool call that a tool message answers")


# -- input ---------------------------------------------------------------------------------------------------------


class BaseLLMInput(BaseAppInput):
    """What every language model takes: `context` is the past, `text` (spoken by `role`) what comes after it."""

    system_prompt: str = Field(default=DEFAULT_PROMPT, description="the system prompt to use for the model")
    context: list[ContextMessage] = Field(
        default_factory=list[ContextMessage],
        description="the conversation so far",
        examples=[[{"role": "user", "text": "The capital of France?"}, {"role": "assistant", "text": "Paris."}]],
    )
    role: ContextMessageRole = Field(default=ContextMessageRole.USER, description="the role of the input text")
    text: str = Field(description="the input text to use for the model", examples=["write a haiku about tides"])
    temperature: float = Field(default=0.7, ge=0.0, le=1.0)
    top_p: float = Field(default=0.95, ge=0.0, le=1.0)
    context_size: int = Field(default=4096)
    max_tokens: int = Field(default=64000)


class LLMInput(BaseLLMInput):
    """The input of a model that reads text."""


class ImageCapabilityMixin(BaseModel):
    """For models that see images."""

    images: list[File] | None = Field(default=None, description="the images to use for the model")


class FileCapabilityMixin(BaseModel):
    """For models that read files."""

    files: list[File] | None = Field(default=None, description="the files to use for the model")


class ReasoningCapabilityMixin(BaseModel):
    """For models that think first."""

    reasoning: str | None = Field(default=None, description="the reasoning input of the message")
    reasoning_effort: ReasoningEffortEnum = Field(
        default=ReasoningEffortEnum.NONE, description="enable step-by-step reasoning"
    )
    reasoning_max_tokens: int | None = Field(default=None, description="the most tokens to spend on reasoning")


class ToolsCapabilityMixin(BaseModel):
    """For models that call tools, given as OpenAI's `{"type": "function", "function": {...}}`."""

    tools: list[dict[str, Any]] | None = Field(default=None, description="the tools that may be called")
    tool_call_id: str | None = Field(default=None, description="the tool call that a tool message answers")


# -- output --------------------------------------------------------------------------------------------------------


class LLMUsage(OrderedModel):
    """Tokens and seconds of an answer."""

    stop_reason: str = ""
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    reasoning_time: float = 0.0


class BaseLLMOutput(BaseAppOutput):
    """What every language model gives: the text so far."""

    response: str = Field(description="the generated text")


class LLMUsageMixin(BaseModel):
    """For models that count."""

    usage: LLMUsage | None = Field(default=None, description="tokens and seconds")


class ReasoningMixin(BaseModel):
    """For models that show what they thought."""

    reasoning: str | None = Field(default=None, description="the reasoning of the model")


class ToolCallsMixin(BaseModel):
    """For models that call tools: `[{"id", "type": "function", "function": {"name", "arguments"}}]`."""

    tool_calls: list[dict[str, Any]] | None = Field(default=None, description="the tools to call")


class ImagesMixin(BaseModel):
    """For models that draw."""

    images: list[File] | None = Field(default=None, description="the images of the answer")


class LLMOutput(LLMUsageMixin, BaseLLMOutput):
    """The output of a model that writes text and counts."""
