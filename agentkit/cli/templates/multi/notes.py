"""A notebook; an app may have as many modules as it likes."""

from __future__ import annotations


class Notebook:
    """Notes in their order."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._notes: list[str] = []

    def add(self, text: str) -> int:
        """Takes a note; how many there are now. Raises ValueError when the book is full."""
        if len(self._notes) >= self._most:
            raise ValueError(f"the notebook is full: it holds {self._most} notes")
        self._notes.append(text)
        return len(self._notes)

    def search(self, term: str) -> list[str]:
        """The notes that hold the term."""
        return [note for note in self._notes if term.lower() in note.lower()]
