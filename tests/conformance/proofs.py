"""Which test proves which requirement, read from the sources of the tests without importing them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.requirements import Requirement

_ID = re.compile(r"[a-z]+(-[a-z0-9]+)*:[a-z0-9]+(-[a-z0-9]+)*")
_EXCUSES = {"skip", "xfail"}  # skipif is none: it runs wherever it can
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Proof:
    """A test that names a requirement. `excuse` is the mark that keeps it from proving anything, "" for none."""

    requirement_id: str
    node_id: str
    excuse: str = ""


@dataclass(frozen=True)
class Mark:
    """One `@pytest.mark.name(...)`; `texts` are its arguments, None for one that is not a text written out."""

    name: str
    texts: tuple[str | None, ...]


def proofs(root: Path) -> list[Proof]:
    """Every test below `root` that carries the `requirement` mark, itself or through its class."""
    found: list[Proof] = []
    for path in sorted(root.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        found += _proofs_in(tree.body, path.relative_to(root).as_posix(), ())
    return found


def problems(requirements: Sequence[Requirement], found: Sequence[Proof]) -> list[str]:
    """What is wrong between the promises and the proofs, one sentence each; empty when all is well."""
    return [*_bad_requirements(requirements), *_unproved(requirements, found), *_bad_proofs(requirements, found)]


def _bad_requirements(requirements: Sequence[Requirement]) -> Iterator[str]:
    for requirement_id, times in Counter(each.id for each in requirements).items():
        if times > 1:
            yield f"requirement {requirement_id!r} is listed {times} times"
    for each in requirements:
        if not _ID.fullmatch(each.id):
            yield f"requirement {each.id!r}: an id reads `group:name-of-it`, lower case"
        if not each.sentence.endswith(".") or not each.source:
            yield f"requirement {each.id!r} needs a sentence that ends with a full stop, and a source"


def _unproved(requirements: Sequence[Requirement], found: Sequence[Proof]) -> Iterator[str]:
    proved = {proof.requirement_id for proof in found if not proof.excuse}
    for each in requirements:
        if each.id not in proved:
            yield f"requirement {each.id!r} has no test: mark one with @pytest.mark.requirement({each.id!r})"


def _bad_proofs(requirements: Sequence[Requirement], found: Sequence[Proof]) -> Iterator[str]:
    known = {each.id for each in requirements}
    for proof in found:
        if proof.requirement_id not in known:
            yield f"{proof.node_id} names requirement {proof.requirement_id!r}, which requirements.py does not list"
        if proof.excuse:
            yield f"{proof.node_id} is marked {proof.excuse}, so it does not prove {proof.requirement_id!r}"


def _proofs_in(body: Sequence[ast.stmt], prefix: str, inherited: tuple[Mark, ...]) -> Iterator[Proof]:
    inherited += tuple(_module_marks(body))
    for statement in body:
        if not isinstance(statement, _Definition):
            continue
        node_id = f"{prefix}::{statement.name}"
        marks = inherited + tuple(_marks(statement.decorator_list))
        if isinstance(statement, ast.ClassDef) and statement.name.startswith("Test"):
            yield from _proofs_in(statement.body, node_id, marks)
        elif not isinstance(statement, ast.ClassDef) and statement.name.startswith("test_"):
            yield from _proofs_of(node_id, marks)
        elif any(mark.name == "requirement" for mark in _marks(statement.decorator_list)):
            raise ValueError(
                f"{node_id} carries a requirement, but pytest does not collect it: name it test_... or Test..."
            )


def _proofs_of(node_id: str, marks: Sequence[Mark]) -> Iterator[Proof]:
    excuse = next((mark.name for mark in marks if mark.name in _EXCUSES), "")
    for mark in marks:
        if mark.name != "requirement":
            continue
        for text in mark.texts or (None,):
            if text is None:
                raise ValueError(f"{node_id}: the id of a requirement has to be written out as a text")
            yield Proof(text, node_id, excuse)


def _module_marks(body: Sequence[ast.stmt]) -> Iterator[Mark]:
    """The marks of a `pytestmark = ...` in a module or class body."""
    for statement in body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "pytestmark" for target in statement.targets
        ):
            listed = statement.value.elts if isinstance(statement.value, ast.List | ast.Tuple) else [statement.value]
            yield from _marks(listed)


def _marks(expressions: Sequence[ast.expr]) -> Iterator[Mark]:
    for expression in expressions:
        called = expression if isinstance(expression, ast.Call) else None
        match called.func if called else expression:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="pytest"), attr="mark"), attr=name):
                yield Mark(name, tuple(_text(argument) for argument in called.args) if called else ())
            case _:
                pass


def _text(expression: ast.expr) -> str | None:
    match expression:
        case ast.Constant(value=str(text)):
            return text
        case _:
            return None
