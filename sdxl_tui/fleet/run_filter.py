"""Finding runs by words: ``fox failed``, ``#good -cpu``, ``profile:character``. All words must fit; nothing is case sensitive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sdxl_tui.fleet.runs import RunSummary

FIELDS: Final = ("state", "name", "tag", "profile", "device", "parent", "note", "folder")
ARCHIVED: Final = "archived"
"""The word for the runs that are put away; without it they are not shown."""


def found_runs(runs: Iterable[RunSummary], words: Sequence[str], *, with_archived: bool = False) -> list[RunSummary]:
    """Those that fit all of ``words``, in their order. with_archived: also those that are put away and neither live nor wait."""
    words = [word.lower() for word in words]
    with_archived |= ARCHIVED in words
    return [run for run in runs if (with_archived or _is_listed(run)) and all(_fits(word, run) for word in words)]


def _is_listed(run: RunSummary) -> bool:
    """What lives or waits is shown even if it was put away."""
    return not run.labels.archived or run.alive or bool(run.waits)


def _fits(word: str, run: RunSummary) -> bool:
    if word.startswith("-") and len(word) > 1:
        return not _fits(word[1:], run)
    if word == ARCHIVED:
        return run.labels.archived
    if word.startswith("#"):
        return any(tag.lower().startswith(word[1:]) for tag in run.labels.tags)
    name, colon, rest = word.partition(":")
    texts = _texts(run)
    if colon and name in FIELDS:
        return rest in texts[name]
    return any(word in text for text in (run.id.lower(), *texts.values()))


def _texts(run: RunSummary) -> dict[str, str]:
    return {
        "state": run.state.value,
        "name": run.name.lower(),
        "tag": run.labels.tags_text.lower(),
        "profile": run.profile.lower(),
        "device": run.device.lower(),
        "parent": (run.parent or "").lower(),
        "note": run.labels.note.lower(),
        "folder": str(run.watched.folder).lower() if run.watched else "",
    }
