"""The one base class of errors that are meant for a person.

Each domain derives its own (``ProfileError``, ``RunError``, ``CheckpointError`` ...). A front end catches
``UserError`` at one place, prints ``str(error)`` and exits with code 2; anything else is a defect and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something a person can mend.

    what: what is wrong, in one sentence. where: the file, line, field or run it is about. hint: what to do next.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return "\n  ".join([text, *self.hint.splitlines()]) if self.hint else text
