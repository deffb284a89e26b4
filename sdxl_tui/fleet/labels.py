"""What a person says of a run: tags, a note, and that it is put away. ``labels.json`` in the run's folder (docs/files.md).

Written by the manager alone, so ``run.json`` stays what it was at the launch; it goes with the run wherever that is moved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from engine.durable import write_json_atomically
from engine.run.errors import RunError
from engine.run.folder_lock import alone_in
from engine.run.layout import RunDirectory
from engine.run.records import read_json_object
from sdxl_tui.terminal.clean import clean

FORMAT: Final = 1
TAG: Final = re.compile(r"\w[\w.\-]{0,31}")
MOST_TAGS: Final = 20
NOTE_CHARACTERS: Final = 2000


@dataclass(frozen=True)
class Labels:
    """Nothing is said of a run without the file."""

    tags: tuple[str, ...] = ()
    """Without their #, in the order they were given."""
    note: str = ""
    archived: bool = False
    """It is shown only where one asks for it."""

    @property
    def tags_text(self) -> str:
        """``#good #v2``"""
        return " ".join(f"#{tag}" for tag in self.tags)


NO_LABELS: Final = Labels()


def read_labels(run: RunDirectory) -> Labels:
    """What is said of the run, safe to print; nothing where the file cannot be read. Never raises."""
    try:
        return _read(run)
    except RunError:
        return NO_LABELS


def parse_tags(words: Iterable[str]) -> tuple[str, ...]:
    """Tags as typed, with or without #, each once. Raises ``RunError`` for what is none."""
    found: dict[str, str] = {}
    for word in words:
        tag = word.removeprefix("#")
        if not TAG.fullmatch(tag):
            hint = "A tag is up to 32 letters, digits, dots, dashes and underscores."
            raise RunError(f"{clean(word, limit=60)!r} is not a tag", hint=hint)
        found.setdefault(tag.lower(), tag)
    if len(found) > MOST_TAGS:
        raise RunError(f"a run has at most {MOST_TAGS} tags")
    return tuple(found.values())


def set_labels(run: RunDirectory, *, tags: Iterable[str] | None = None, note: str | None = None) -> Labels:
    """Replace the tags, the note, or both. Raises ``RunError``, and nothing has changed then."""
    wanted = None if tags is None else parse_tags(tags)
    if note is not None and len(note) > NOTE_CHARACTERS:
        raise RunError(f"the note is longer than {NOTE_CHARACTERS} characters", where=run.id)

    def changed(labels: Labels) -> Labels:
        labels = labels if wanted is None else replace(labels, tags=wanted)
        return labels if note is None else replace(labels, note=note.strip())

    return _change(run, changed)


def change_tags(run: RunDirectory, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Labels:
    """Add and take away tags. Raises ``RunError``, also for one to take away that it does not have."""
    more, fewer = parse_tags(add), parse_tags(remove)

    def changed(labels: Labels) -> Labels:
        has = {tag.lower() for tag in labels.tags}
        if strangers := [tag for tag in fewer if tag.lower() not in has]:
            hint = f"It has {labels.tags_text}." if labels.tags else "It has none."
            raise RunError(f"does not have the tag {strangers[0]!r}", where=run.id, hint=hint)
        gone = {tag.lower() for tag in fewer}
        kept = [tag for tag in labels.tags if tag.lower() not in gone]
        return replace(labels, tags=parse_tags([*kept, *more]))

    return _change(run, changed)


def archive(run: RunDirectory, *, archived: bool = True) -> Labels:
    """Put a run away, or take it out again. Nothing of it is moved or deleted. Raises ``RunError``."""
    return _change(run, lambda labels: replace(labels, archived=archived))


def _read(run: RunDirectory) -> Labels:
    stored = read_json_object(run.labels)
    if stored is None:
        if not os.path.lexists(run.labels):
            return NO_LABELS
        raise _unreadable(run)
    tags, note, archived = stored.get("tags", []), stored.get("note", ""), stored.get("archived", False)
    fits = isinstance(tags, list) and isinstance(note, str) and isinstance(archived, bool)
    if stored.get("format") != FORMAT or not fits:
        raise _unreadable(run)
    safe = [tag for tag in tags if isinstance(tag, str) and TAG.fullmatch(tag)]
    return Labels(tuple(safe[:MOST_TAGS]), clean(note, limit=NOTE_CHARACTERS), archived)


def _change(run: RunDirectory, change: Callable[[Labels], Labels]) -> Labels:
    with alone_in(run.path, lambda what: RunError(what, where=str(run.path))):
        before = _read(run)
        labels = change(before)
        if labels != before:
            record = {"format": FORMAT, "tags": list(labels.tags), "note": labels.note, "archived": labels.archived}
            try:
                write_json_atomically(run.labels, record)
            except (OSError, UnicodeEncodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "the note is not text"
                raise RunError(f"the labels cannot be written: {reason}", where=str(run.labels)) from error
    return labels


def _unreadable(run: RunDirectory) -> RunError:
    hint = "Mend it, or delete it: then nothing is said of the run."
    return RunError("the labels cannot be read", where=str(run.labels), hint=hint)
