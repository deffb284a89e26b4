"""Paths of a config: those that are found on this machine made absolute, the others kept as they are and told."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from engine.foreign.sd_scripts.given import Entry
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_text
from engine.model.hub_id import parse_hub_id
from engine.profile.places import PLACEHOLDER

_VARIABLE: Final = re.compile(r"\$\{?\w+|%\w+%|!\w+!")


def local_path(t: Translation, entry: Entry, *, may_be_hub: bool = False) -> str | None:
    """The path of ``entry`` for the profile; None (which is told) where it can be none.

    One that is not here is kept as written. may_be_hub: ``owner/name`` names a model on the Hub.
    """
    written = as_text(entry.value).strip()
    if "\0" in written or len(written) > 4000 or not _is_unicode(written):
        t.tell(entry, Fate.UNSUPPORTED, note="can be no path", warning=True)
        return None
    found = existing(t, written)
    if found is not None:
        return str(found)
    if may_be_hub and parse_hub_id(written) is not None:
        return written
    if written.startswith(PLACEHOLDER):
        t.remark_path(written, "is a name alone: write where yours lies")
    else:
        t.remark_path(
            written, "holds a variable of the shell" if _VARIABLE.search(written) else "is not on this machine"
        )
    return written


def existing(t: Translation, written: str) -> Path | None:
    """Where a path of the config lies on this machine, looked for here and beside the file; None if nowhere."""
    for folder in (Path.cwd(), t.given.folder):
        if folder is None:
            continue
        try:
            path = folder / Path(written).expanduser()
            if written and path.exists():
                return Path(os.path.normpath(path))
        except (OSError, ValueError, RuntimeError):
            continue
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
