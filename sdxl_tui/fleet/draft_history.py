"""The texts a draft went through, for undo and redo: one edit is one step, however many keys it took."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 500
"""Steps that can be undone."""


class DraftHistory:
    """Texts before and after the present one."""

    def __init__(self, text: str) -> None:
        self._past: list[str] = []
        self._now = text
        self._future: list[str] = []
        self._open: str | None = None

    def note(self, text: str, edit: str | None = None) -> None:
        """The text reads so now. Notes of one ``edit`` in a row are one step; one that ends where it began is none."""
        if text == self._now:
            return
        if edit is None or edit != self._open:
            self._past = [*self._past[1 - LONGEST :], self._now]
        self._open, self._now = edit, text
        self._future.clear()
        if self._past[-1] == text:
            self._past.pop()
            self._open = None

    def close(self) -> None:
        """The next note is a step of its own."""
        self._open = None

    def undo(self) -> str | None:
        """The text before the last step; None if there is none."""
        return self._go(self._past, self._future)

    def redo(self) -> str | None:
        """The text after the step that was undone last; None if there is none."""
        return self._go(self._future, self._past)

    def _go(self, there: list[str], here: list[str]) -> str | None:
        self.close()
        if not there:
            return None
        here.append(self._now)
        self._now = there.pop()
        return self._now
