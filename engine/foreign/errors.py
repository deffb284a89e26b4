"""What is wrong with a file of another program."""

from __future__ import annotations

from engine.errors import UserError


class ForeignFileError(UserError):
    """A file that cannot be read as what it claims to be; nothing of it was run."""


class HostilePickleError(ForeignFileError):
    """A pickle that asks for something no training state needs; its text names it."""
