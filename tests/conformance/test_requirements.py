"""Every promise has a test, every test that claims to prove one proves a listed one; and the check itself can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.proofs import Proof, problems, proofs
from tests.conformance.requirements import REQUIREMENTS, Requirement

TESTS = Path(__file__).resolve().parents[1]
PARKED = Requirement("turn:parked", "A parked turn keeps listening.", "design.md 4")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty tree of tests to write into."""
    (tmp_path / "deep").mkdir()
    return tmp_path


def write(tree: Path, source: str, *, name: str = "deep/test_turn.py") -> list[Proof]:
    (tree / name).write_text("import pytest\n" + source, encoding="utf-8")
    return proofs(tree)


def test_every_requirement_has_a_test_and_every_marked_test_a_requirement() -> None:
    assert not (wrong := problems(REQUIREMENTS, proofs(TESTS))), "\n".join(wrong)


def test_a_requirement_with_a_marked_test_is_proved(tree: Path) -> None:
    found = write(tree, '@pytest.mark.requirement("turn:parked")\nasync def test_it(): ...\n')
    assert found == [Proof("turn:parked", "deep/test_turn.py::test_it")]
    assert problems([PARKED], found) == []


def test_a_requirement_without_a_test_is_named(tree: Path) -> None:
    found = write(tree, "def test_it(): ...\n")
    assert problems([PARKED], found) == [
        "requirement 'turn:parked' has no test: mark one with @pytest.mark.requirement('turn:parked')"
    ]


def test_a_test_of_an_unlisted_requirement_is_named(tree: Path) -> None:
    found = write(tree, '@pytest.mark.requirement("turn:gone")\ndef test_it(): ...\n')
    assert problems([], found) == [
        "deep/test_turn.py::test_it names requirement 'turn:gone', which requirements.py does not list"
    ]


def test_one_test_may_prove_several_requirements(tree: Path) -> None:
    source = '@pytest.mark.requirement("a:b", "c:d")\n@pytest.mark.requirement("e:f")\ndef test_it(): ...\n'
    assert [proof.requirement_id for proof in write(tree, source)] == ["a:b", "c:d", "e:f"]


@pytest.mark.parametrize(
    "source",
    [
        'pytestmark = pytest.mark.requirement("turn:parked")\ndef test_it(): ...\n',
        'pytestmark = [pytest.mark.usefixtures("x"), pytest.mark.requirement("turn:parked")]\ndef test_it(): ...\n',
        '@pytest.mark.requirement("turn:parked")\nclass TestIt:\n    def test_it(self): ...\n',
        'class TestIt:\n    @pytest.mark.requirement("turn:parked")\n    def test_it(self): ...\n',
    ],
)
def test_a_mark_counts_on_the_module_and_on_the_class_too(tree: Path, source: str) -> None:
    assert problems([PARKED], write(tree, source)) == []


@pytest.mark.parametrize("excuse", ["skip", "xfail"], ids=["skipped", "expected-to-fail"])
def test_a_test_that_is_excused_proves_nothing(tree: Path, excuse: str) -> None:
    source = f'@pytest.mark.{excuse}(reason="later")\n@pytest.mark.requirement("turn:parked")\ndef test_it(): ...\n'
    unproved, excused = problems([PARKED], write(tree, source))
    assert unproved.startswith("requirement 'turn:parked' has no test")
    assert excused == f"deep/test_turn.py::test_it is marked {excuse}, so it does not prove 'turn:parked'"


@pytest.mark.parametrize("argument", ["", "PARKED", 'f"turn:{x}"'])
def test_an_id_that_is_not_written_out_is_refused(tree: Path, argument: str) -> None:
    with pytest.raises(ValueError, match="has to be written out"):
        write(tree, f"@pytest.mark.requirement({argument})\ndef test_it(): ...\n")


def test_a_mark_on_something_pytest_does_not_collect_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="pytest does not collect it"):
        write(tree, '@pytest.mark.requirement("turn:parked")\ndef parked(): ...\n')


@pytest.mark.parametrize(
    ("requirement", "complaint"),
    [
        (Requirement("parked", "It is.", "design.md 4"), "an id reads `group:name-of-it`"),
        (Requirement("turn:Parked", "It is.", "design.md 4"), "an id reads `group:name-of-it`"),
        (Requirement("turn:parked", "It is", "design.md 4"), "ends with a full stop"),
        (Requirement("turn:parked", "It is.", ""), "and a source"),
    ],
)
def test_a_requirement_has_a_readable_id_a_sentence_and_a_source(requirement: Requirement, complaint: str) -> None:
    wrong = problems([requirement], [Proof(requirement.id, "test_it.py::test_it")])
    assert len(wrong) == 1
    assert complaint in wrong[0]


def test_a_requirement_listed_twice_is_named() -> None:
    wrong = problems([PARKED, PARKED], [Proof(PARKED.id, "test_it.py::test_it")])
    assert wrong == ["requirement 'turn:parked' is listed 2 times"]
