"""Whether a folder that a profile names is there, and if not, what to say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.demo import BUNDLED

PLACEHOLDER: Final = "/path/to/"
"""What a shipped profile names where the user's own folder belongs."""
_BUNDLED_NAMES: Final = ("bundled:demo-base", "bundled:demo-images")


def no_folder(folder: Path, written: str, missing: str = "there is no such folder") -> str | None:
    """Why ``folder`` (``written`` in the profile) is none, as a sentence's end; None if it is there.

    missing: what is said of one that does not exist.
    """
    try:
        if folder.is_dir():
            return None
        exists = folder.exists()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if written.startswith(BUNDLED):
        return f"nothing of that name is bundled: there are {' and '.join(_BUNDLED_NAMES)}"
    if exists:
        return "is a file, not a folder"
    if written.startswith(PLACEHOLDER):
        return "is a placeholder: write your own folder here, in a profile of your own if it is a shipped one"
    parent = next((parent for parent in folder.parents if parent.is_dir()), Path(folder.root))
    known = f" ({parent} is the last part of the path that exists)" if parent.name else ""
    return f"{missing}{known}"
