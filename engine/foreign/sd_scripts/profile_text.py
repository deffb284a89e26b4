"""The text of an imported profile: short, with everything at its default left out and a word on where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import shown
from engine.profile.fields import SOURCES, ProfileField, profile_sections, table_fields
from engine.profile.schema import SCHEMA_VERSION
from engine.profile.to_toml import toml_value

_ALWAYS = ("training.steps", "network.rank", "network.alpha", "optimizer.lr", "schedule.kind")
"""Written where they are known, even at the default: what a person looks for first."""


def profile_text(t: Translation, remarks: Iterable[str] = ()) -> str:
    """The profile as TOML."""
    return "\n".join(_lines(t, remarks)) + "\n"


def _lines(t: Translation, remarks: Iterable[str]) -> Iterator[str]:
    yield f"# Imported from {shown(t.given.origin, 200)} ({t.given.format}) by sdxl-tui import. Defaults are left out."
    yield from (f"# To do: {shown(sentence, 400)}" for sentence in dict.fromkeys(t.missing))
    yield from (f"# Look at: {shown(sentence, 400)}" for sentence in remarks)
    yield f"\nschema = {SCHEMA_VERSION}\nname = {toml_value(t.values['name'])}"
    for section in profile_sections():
        if not section.name:
            continue
        found = [line for field in section.fields if (line := _line(t, field)) is not None]
        if found:
            yield from ("", f"[{section.name}]", *found)
        if section.name == "dataset":
            for source in t.sources:
                yield from ("", "[[dataset.sources]]", *_source(source))


def _line(t: Translation, field: ProfileField) -> str | None:
    value = t.values.get(field.path)
    if field.path == SOURCES or value is None or (value == field.default and field.path not in _ALWAYS):
        return None
    comment = t.comments.get(field.path)
    return f"{field.name} = {toml_value(value)}" + (f"  # {comment}" if comment else "")


def _source(source: dict[str, Any]) -> Iterator[str]:
    for field in table_fields(SOURCES):
        value = source.get(field.name)
        if value is not None and (value != field.default or field.required or field.name == "repeats"):
            yield f"{field.name} = {toml_value(value)}"
