"""Paths as a person types them, with ``~`` for a home folder."""

from __future__ import annotations

from pathlib import Path

from engine.errors import UserError


def user_path(written: str | Path) -> Path:
    """``written`` with ``~`` and ``~name`` expanded. Raises ``UserError`` where there is no such home folder."""
    try:
        return Path(written).expanduser()
    except RuntimeError:
        name = Path(written).parts[0]
        what = f"this machine knows no user {name[1:]!r}" if name != "~" else "the home folder is not known"
        raise UserError(
            what, where=str(written), hint=f"Write the folder in full; a name itself with ~ as ./{name}"
        ) from None


def absolute_user_path(written: str | Path) -> Path:
    """The same from the root of the disk. Raises ``UserError``, also where it starts in a current folder that was deleted."""
    path = user_path(written)
    try:
        return path.absolute()
    except FileNotFoundError:
        raise UserError(
            "the current folder no longer exists", where=str(written), hint="Write the path in full, from /."
        ) from None
