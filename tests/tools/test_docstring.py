"""The three docstring styles, read exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.tools.docstring import parse_docstring

GOOGLE = """Finds a place
    by name.

    More words.

    Args:
        city (str): The city: in English,
            or in the language
            of the country.

        radius (Optional[Callable[[int], float]], optional): In km.
        *names: Other names.
        undescribed:

    Returns:
        place: Not a parameter.
    """

NUMPY = """
    Finds a place by name.

    Parameters
    ----------
    city : str
        The city: in English,
        or in the language

        of the country.
    radius : float, optional
        In km.
    x, y : int
        Coordinates.
    *names
        Other names.

    Other Parameters
    ----------------
    limit : int
        At most so many.

    Returns
    -------
    place : str
        Not a parameter.
    """

SPHINX = """Finds a place by name.
    :param city: The city: in English,
        or in the language
        of the country.
    :type city: str
    :param float radius: In km.
    :param dict[str, int] sizes: Sizes.
    :arg *names: Other names.
    :returns: Not a parameter.
    :rtype: str
    """


def test_google() -> None:
    told = parse_docstring(GOOGLE)
    assert told.summary == "Finds a place by name."
    assert told.params == {
        "city": "The city: in English, or in the language of the country.",
        "radius": "In km.",
        "names": "Other names.",
    }


def test_numpy() -> None:
    told = parse_docstring(NUMPY)
    assert told.summary == "Finds a place by name."
    assert told.params == {
        "city": "The city: in English, or in the language of the country.",
        "radius": "In km.",
        "x": "Coordinates.",
        "y": "Coordinates.",
        "names": "Other names.",
        "limit": "At most so many.",
    }


def test_sphinx() -> None:
    told = parse_docstring(SPHINX)
    assert told.summary == "Finds a place by name."
    assert told.params == {
        "city": "The city: in English, or in the language of the country.",
        "radius": "In km.",
        "sizes": "Sizes.",
        "names": "Other names.",
    }


@pytest.mark.parametrize("header", ["Args:", "Arguments:", "Parameters:", "Params:", "Keyword Args:"])
def test_a_section_right_below_the_first_line_is_not_part_of_the_summary(header: str) -> None:
    told = parse_docstring(f"Does it.\n{header}\n    a: One.\n")
    assert (told.summary, told.params) == ("Does it.", {"a": "One."})


@pytest.mark.parametrize("text", [None, "", "   \n  \n"])
def test_no_docstring_says_nothing(text: str | None) -> None:
    assert parse_docstring(text) == parse_docstring("")
    assert parse_docstring(text).summary == ""


def test_a_docstring_that_begins_with_its_parameters_has_no_summary() -> None:
    assert parse_docstring("Args:\n    a: One.").summary == ""
    assert parse_docstring(":param a: One.").params == {"a": "One."}


def test_prose_with_colons_is_not_taken_for_parameters() -> None:
    told = parse_docstring("Note: this.\n\nExample:\n    a: b\n\nSee http://x.y: there.")
    assert (told.summary, told.params) == ("Note: this.", {})


WORDS = st.lists(st.from_regex(r"[a-z]{1,6}[.,]?", fullmatch=True), min_size=1, max_size=8).map(" ".join)
PARAMS = st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), WORDS, min_size=1, max_size=4)


@given(WORDS, PARAMS, st.sampled_from(["google", "numpy", "sphinx"]))
def test_what_was_written_is_read_back(summary: str, params: dict[str, str], style: str) -> None:
    written = {
        "google": "Args:\n" + "".join(f"    {name} (str): {told}\n" for name, told in params.items()),
        "numpy": "Parameters\n----------\n" + "".join(f"{name} : str\n    {told}\n" for name, told in params.items()),
        "sphinx": "".join(f":param str {name}: {told}\n" for name, told in params.items()),
    }[style]
    told = parse_docstring(f"{summary}\n\n{written}")
    assert (told.summary, told.params) == (summary, params)


@given(st.text(alphabet="ab:*-()\n \tArgsParam", max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    assert "" not in parse_docstring(text).params.values()
