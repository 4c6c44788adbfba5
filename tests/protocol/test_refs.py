"""References: the grammar of the platform, and a sentence for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ReferenceSyntaxError, UsageError
from agentkit.protocol.refs import REFERENCE_TYPES, Reference

slugs = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
versions = st.none() | slugs.filter(lambda version: version != "latest")


@st.composite
def references(draw: st.DrawFn) -> Reference:
    namespace = draw(st.none() | slugs)
    type = None if namespace is None else draw(st.none() | st.sampled_from(sorted(REFERENCE_TYPES)))
    return Reference(
        type=type, namespace=namespace, name=draw(slugs), version=draw(versions), function=draw(st.none() | slugs)
    )


@given(references())
def test_a_written_reference_reads_as_the_same_reference(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference


@given(st.text(alphabet="ab/@:.", max_size=12) | st.text(max_size=12))
def test_any_text_is_a_reference_or_gets_a_sentence(text: str) -> None:
    try:
        found = Reference.parse(text)
    except ReferenceSyntaxError as error:
        assert repr(text) in str(error)
        assert "[type/]namespace/name[@version][:function]" in str(error)
    else:
        assert Reference.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "type", "namespace", "name", "version", "function"),
    [
        ("acme/resize", None, "acme", "resize", None, None),
        ("acme/resize@k3v9x2ab", None, "acme", "resize", "k3v9x2ab", None),
        ("acme/resize:upscale", None, "acme", "resize", None, "upscale"),
        ("acme/resize@k3v9x2ab:upscale", None, "acme", "resize", "k3v9x2ab", "upscale"),
        ("acme/resize@latest", None, "acme", "resize", None, None),
        ("acme/resize@latest:upscale", None, "acme", "resize", None, "upscale"),
        ("app/acme/resize", "app", "acme", "resize", None, None),
        ("agent/acme/helper@v1", "agent", "acme", "helper", "v1", None),
        ("knowledge/acme/docs", "knowledge", "acme", "docs", None, None),
        ("skill/acme/plan", "skill", "acme", "plan", None, None),
        ("my-app", None, None, "my-app", None, None),
        ("my-app@v2:run", None, None, "my-app", "v2", "run"),
        ("app/resize", None, "app", "resize", None, None),  # two parts are namespace and name, whatever the first
        ("openrouter/acme/model", None, None, "openrouter/acme/model", None, None),  # no known type: a bare name
        ("infsh/claude-sonnet-4@abc123", None, "infsh", "claude-sonnet-4", "abc123", None),
        ("okaris/flux.1@v-1.0:run", None, "okaris", "flux.1", "v-1.0", "run"),
    ],
)
def test_a_reference_reads_as_the_grammar_says(
    text: str, type: str | None, namespace: str | None, name: str, version: str | None, function: str | None
) -> None:
    found = Reference.parse(text)
    assert (found.type, found.namespace, found.name, found.version, found.function) == (
        type,
        namespace,
        name,
        version,
        function,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (" acme/resize", "white space"),
        ("acme/re size", "white space"),
        ("acme/resize\n", "white space"),
        ("/resize", "empty namespace"),
        ("acme/", "empty name"),
        ("@v1", "empty name"),
        (":run", "empty name"),
        ("app//resize", "empty namespace"),
        ("a//b/c", "empty part"),
        ("acme/resize@", "empty version"),
        ("acme/resize:", "empty function"),
        ("acme/resize@v1:", "empty function"),
        ("acme/resize@v1@v2", "more than one @"),
        ("acme/resize:run@v1", "the function comes last"),
        ("acme/resize:a:b", "colon before its end"),
        ("https://cloud.example/acme/resize", "URL"),
    ],
)
def test_what_is_no_reference_gets_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ReferenceSyntaxError, match=says) as caught:
        Reference.parse(text)
    assert isinstance(caught.value, UsageError)
    assert repr(text) in str(caught.value)


def test_the_path_leaves_version_function_and_type_out() -> None:
    assert Reference.parse("app/acme/resize@v1:run").path == "acme/resize"
    assert Reference.parse("my-app@v1").path == "my-app"


def test_a_version_further_behind_a_colon_belongs_to_no_function() -> None:
    assert Reference.parse("acme/resize@1:2").version == "1"
    with pytest.raises(ReferenceSyntaxError, match=r"more than one @|colon"):
        Reference.parse("acme/resize@1:2@3")
