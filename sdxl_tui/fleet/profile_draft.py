"""A profile while it is edited: its document, what is wrong with it now, and what was typed that is no value at all."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from engine.profile.document import ProfileDocument
from engine.profile.extends import Lineage
from engine.profile.fields import (
    EXTENDS,
    OF_A_FILE,
    SOURCES,
    ProfileField,
    ProfileSection,
    profile_field,
    profile_sections,
)
from engine.profile.load import SOURCE_PATHS, absolute_path, is_hub_name, parse_profile
from engine.profile.problems import Problem, ProfileError
from engine.profile.schema import Profile
from sdxl_tui.fleet.draft_history import DraftHistory

AS_TEXT: Final = "the text"
"""What ``DraftHistory`` is told is edited where no single field is."""


class ProfileDraft:
    """Judged anew after every edit; an edit of one field changes that field's line and nothing else of the file."""

    def __init__(self, path: Path) -> None:
        """Raises ``ProfileError`` if the file cannot be read as text."""
        self.document = ProfileDocument.open(path)
        self.profile: Profile | None = None
        """None while there is a problem."""
        self.problems: tuple[Problem, ...] = ()
        self._lineage: Lineage | None = None
        self._mistyped: dict[str, str] = {}
        self._edited: str | None = None
        self._before = self.document.text
        """The text as it was before the field ``_edited`` was touched."""
        self.history = DraftHistory(self.document.text)
        self.judge()

    @property
    def path(self) -> Path:
        """The file."""
        return self.document.path

    @property
    def is_changed(self) -> bool:
        """Something stands here that is not in the file."""
        return self.document.is_changed or bool(self._mistyped)

    @property
    def is_toml(self) -> bool:
        """The text can be shown as a form."""
        return not any(problem.excerpt for problem in self.problems)

    @property
    def complaints(self) -> dict[str, str]:
        """What is wrong, by field or section (``optimizer.lr``; empty for the file as a whole)."""
        texts: dict[str, str] = {}
        for problem in self.problems:
            said = f"{problem.rule}; {problem.suggestion}" if problem.suggestion else problem.rule
            texts.setdefault(without_index(problem.field), said)
        return texts | self._mistyped

    def complaint_about(self, path: str) -> str:
        """What is wrong with a field, or with an entry of its list; empty if nothing is."""
        found = (said for name, said in self.complaints.items() if name == path or name.startswith(f"{path}."))
        return next(found, "")

    @property
    def first_complaint(self) -> str:
        """The first of them in one line; empty if there is none."""
        for path, said in self.complaints.items():
            return f"{path}: {said}" if path else said
        return ""

    def judge(self) -> None:
        """Validate the text as it stands."""
        try:
            loaded = parse_profile(self.document.text, folder=self.path.parent, source=self.path)
            self.profile, self.problems = loaded.profile, ()
        except ProfileError as error:
            self.profile, self.problems = None, tuple(self._here(problem) for problem in error.problems)
        try:
            self._lineage = self.document.lineage()
        except ProfileError:
            self._lineage = None  # no TOML: nothing can be said

    def _here(self, problem: Problem) -> Problem:
        """``problem``; one of a file that is extended at the line that extends it, for that one is shown here."""
        if problem.file in {str(self.path), ""} or problem.line is None:
            return problem
        rule = f"{problem.rule}, {Path(problem.file).name}:{problem.line}"
        text = self.document.text.splitlines()
        line = next((number for number, words in enumerate(text, 1) if words.split("=")[0].strip() == EXTENDS), None)
        return replace(problem, file=str(self.path), line=line, column=None, rule=rule, excerpt="")

    def inherited_from(self, path: str) -> Path | None:
        """The file whose value of a field holds because this one has none; None where there is no such file."""
        return self._lineage.inherited_from(path) if self._lineage is not None else None

    def origins(self, section: ProfileSection) -> dict[str, str]:
        """By field of ``section`` the name of the file that its value is inherited from; without those that are not."""
        found = {field.path: self.inherited_from(field.path) for field in section.fields}
        return {path: file.name for path, file in found.items() if file is not None}

    def inherited_values(self, section: ProfileSection) -> dict[str, Any]:
        """What each field goes back to when its line is taken out; None where that is its default."""
        return {field.path: self.inherited_value(field.path) for field in section.fields}

    @property
    def parent(self) -> Path | None:
        """The profile that is extended."""
        return next(iter(self._lineage.parents), None) if self._lineage is not None else None

    @property
    def own_fields(self) -> frozenset[str]:
        """Of a profile that extends another the fields that it gives a value other than it would inherit; else none."""
        lineage = self._lineage
        if lineage is None or not lineage.parents:
            return frozenset()
        found = set()
        for section in profile_sections():
            for field in section.fields:
                own = _at(lineage.layers[0].tables, field.path)
                if own is not None and field.path not in OF_A_FILE and own != self._without_own(field):
                    found.add(field.path)
        return frozenset(found)

    def _without_own(self, field: ProfileField) -> Any:
        """As TOML would write it."""
        inherited = self.inherited_value(field.path)
        if inherited is not None:
            return inherited
        return list(field.default) if isinstance(field.default, tuple) else field.default

    def origin_without_own(self, path: str) -> Path | None:
        """The file that ``inherited_value`` is from; None where that is the default."""
        return None if self._lineage is None else self._lineage.origin_without_own(path)

    def inherited_value(self, path: str) -> Any:
        """What a field goes back to when its line is taken out; None where that is its default.

        A relative path of a file that lies elsewhere is absolute here: written into this file it would mean another place.
        """
        if self._lineage is None:
            return None
        value, origin = self._lineage.inherited_value(path), self._lineage.origin_without_own(path)
        if origin is None or origin.parent == self.path.absolute().parent:
            return value
        return _seen_from_elsewhere(path, value, origin.parent)

    def set(self, path: str, value: Any) -> None:
        """Give a field a value; None takes its line out, so that its default holds.

        While one field is typed in, each keystroke starts from the text as it was before the first: a field that is empty
        for a moment does not lose the comment on its line.
        """
        self._go_back_before(path)
        try:
            if value is None:
                self.document.unset(path)
            else:
                self.document.set(path, value)
        except ProfileError as error:
            self._mistyped[path] = error.problems[0].message
        self.history.note(self.document.text, path)
        self.judge()

    def mistype(self, path: str, reason: str) -> None:
        """Note that what was typed for a field is no value for it; the text is as it was before the field was touched."""
        self._go_back_before(path)
        self._mistyped[path] = reason
        self.history.note(self.document.text, path)
        self.judge()

    def restore(self, path: str, value: Any) -> None:
        """Give a field ``value`` again, which it had before it was touched."""
        self._go_back_before(path)
        if self.value(path) == value:
            self.history.note(self.document.text, path)
            self.judge()
        else:
            self.set(path, value)

    def leave_field(self) -> None:
        """The next edit is a new one, even of the same field."""
        self._edited, self._before = None, self.document.text

    def _go_back_before(self, path: str) -> None:
        if self._edited == path:
            self.document.replace_text(self._before)
        else:
            self._edited, self._before = path, self.document.text
        self._mistyped.pop(path, None)

    def replace_text(self, text: str) -> None:
        """Take other text; ``judge`` is left to the caller, who may wait for the next keystroke."""
        self._mistyped.clear()
        self.document.replace_text(text)
        self.leave_field()
        self.history.note(self.document.text, AS_TEXT)

    def take(self, text: str) -> list[str]:
        """Take other text as one step; the fields whose values are others then."""
        before = self.document.text
        self.document.replace_text(text)
        self.history.close()
        return self._came_from(before)

    def undo(self) -> list[str] | None:
        """Take the last step back, or what was mistyped; the fields whose values are others then. None: there is no step."""
        if self._mistyped:
            mistyped = list(self._mistyped)
            self.leave_field()
            self._mistyped.clear()
            self.judge()
            return mistyped
        return self._go(self.history.undo())

    def redo(self) -> list[str] | None:
        """Make the step again that was taken back last; otherwise as ``undo``."""
        return self._go(self.history.redo())

    def _go(self, text: str | None) -> list[str] | None:
        if text is None:
            return None
        before = self.document.text
        self.document.replace_text(text)
        return self._came_from(before)

    def _came_from(self, before: str) -> list[str]:
        """Judge a text that took the place of ``before``; the fields that differ."""
        self._mistyped.clear()
        self.leave_field()
        self.history.note(self.document.text)
        self.judge()
        return differing_fields(before, self.document.text)

    def forget_mistyped(self) -> None:
        """Go back to the last values of fields that were mistyped."""
        self._mistyped.clear()

    def reload(self) -> list[str]:
        """Take the file's content again, as a step that can be undone; the fields whose values are others then.

        Raises ``ProfileError`` if it cannot be read.
        """
        before = self.document.text
        self.document.reload()
        self.history.close()
        return self._came_from(before)

    @property
    def unsaved_fields(self) -> frozenset[str]:
        """The fields whose values are not the file's; of a text or a file that is no TOML only what was mistyped."""
        changed = differing_fields(self.document.saved_text, self.document.text) if self.document.is_changed else []
        return frozenset((*changed, *self._mistyped))

    def reset(self, path: str) -> bool:
        """Give a field the file's value again; where it has that, its default. Whether that changed anything."""
        if path in self.unsaved_fields:
            try:
                saved = _at(tomllib.loads(self.document.saved_text), path)
            except tomllib.TOMLDecodeError:
                saved = None
        else:
            saved = None
            if self.value(path) is None:
                return False
        self.leave_field()
        self.history.close()
        self.set(path, saved)
        self.leave_field()
        self.history.close()
        return True

    def values(self, section: ProfileSection) -> dict[str, Any]:
        """What the text itself sets, None for defaults; all None where it is no TOML."""
        return {field.path: self.value(field.path) for field in section.fields}

    def value(self, path: str) -> Any:
        """What the text itself sets for a field; None for its default."""
        try:
            return self.document.get(path)
        except ProfileError:
            return None

    def complaints_in(self, section: ProfileSection) -> int:
        """How many of the complaints are about a section."""
        return sum(section_of(path) == section.name for path in self.complaints)


def differing_fields(one: str, other: str) -> list[str]:
    """The fields that two texts set to different values, in the schema's order; none where one of them is no TOML."""
    try:
        here, there = tomllib.loads(one), tomllib.loads(other)
    except tomllib.TOMLDecodeError:
        return []
    fields = (field for section in profile_sections() for field in section.fields)
    return [field.path for field in fields if _at(here, field.path) != _at(there, field.path)]


def _seen_from_elsewhere(field: str, value: Any, folder: Path) -> Any:
    """The inherited ``value`` with the paths in it absolute; folder: that of the file that says it."""
    if field == SOURCES and isinstance(value, list):
        return [
            {name: _absolute(item, folder) if name in SOURCE_PATHS else item for name, item in source.items()}
            if isinstance(source, Mapping)
            else source
            for source in value
        ]
    if not profile_field(field).leads_to:
        return value
    return [_absolute(item, folder) for item in value] if isinstance(value, list) else _absolute(value, folder)


def _absolute(written: Any, folder: Path) -> Any:
    if not isinstance(written, str) or is_hub_name(written, folder):
        return written
    try:
        return absolute_path(written, folder)
    except ValueError:
        return written  # what is wrong with it is told of the file that says it


def _at(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def section_of(path: str) -> str:
    """The section that a path names or lies in; empty for the top level."""
    head = path.partition(".")[0]
    return head if any(section.name == head for section in profile_sections()) else ""


def without_index(field: str) -> str:
    """``dataset.sources[0].path`` as ``dataset.sources.path``."""
    head, bracket, rest = field.partition("[")
    return head + rest.partition("]")[2] if bracket else head
