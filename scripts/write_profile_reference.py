"""Writes docs/profile-reference.md from the profile schema. Run it after changing a field; a test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.profile.fields import SOURCES, STAGES, TABLES, ProfileField, profile_field, profile_sections, table_fields
from engine.profile.rules import RULES
from engine.profile.to_toml import toml_value
from engine.routes.route import STATE_PARTS, Route

STAGES_TEXT = f"""\
{profile_field(STAGES).help} {profile_field(STAGES).detail} A stage is the
whole profile with these fields laid over it, and everything that holds for a profile holds for each. The first starts as
any run does; each later one goes on from the last checkpoint of the one before."""

TARGET = Path(__file__).parent.parent / "docs" / "profile-reference.md"

HEAD = """\
# Profile reference

Written by `python scripts/write_profile_reference.py` from `engine/profile/schema.py`; do not edit.

A profile is a TOML file. Two fields are required, `model.base` and one `[[dataset.sources]]` with a `path`; all others
have a default. Unknown fields are errors. A relative path is taken from the profile's folder, `~` is your home folder,
and `bundled:demo-base` and `bundled:demo-images` are shipped with the package. On the command line,
`--set section.field=value` changes one field for one run (there a relative path is taken from the current folder).

With `extends = "character"` (a shipped profile, or a file beside this one) or `extends = "../base.toml"` a profile takes over
all values it does not set itself, and nothing is required. `sdxl-tui schema` prints all of this as JSON Schema; editors
with taplo (VS Code: Even Better TOML) find it by a first line `#:schema ./sdxl-tui.schema.json`.

**At resume** says what happens when a value was changed since the checkpoint and the run is resumed from it:

- *applied*: the new value takes effect from the next step on.
- *restored*: the checkpoint's value wins, and only if that is agreed to (`--keep-stored`). Another route applies the new one.
- *fixed*: a changed value rules an exact resume out.

`sdxl-tui effect CHECKPOINT PROFILE` says it of a checkpoint and an edited profile. What the ways on from a checkpoint do with
the parts of the training state:

"""


def reference() -> str:
    """The whole document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEAD + "| " + "".join(f"| {route} " for route in Route) + "|"
    yield "| --- " * (len(Route) + 1) + "|"
    yield from (f"| {part.name} | {' | '.join(part.by(route) for route in Route)} |" for part in STATE_PARTS)
    for section in profile_sections():
        yield ""
        yield f"## {f'[{section.name}]' if section.name else 'Top level'}"
        yield ""
        yield section.help
        yield ""
        yield from _table(field for field in section.fields if field.path not in TABLES)
        yield from _details(tuple(field for field in section.fields if field.path != STAGES))
        if section.name == "dataset":
            yield from _array(SOURCES, "###", "A folder of images; repeat the block for more folders. Required.")
    yield from _array(STAGES, "##", STAGES_TEXT)
    yield ""
    yield "## Rules between fields"
    yield ""
    yield from (f"- {rule.sentence}" for rule in RULES)


def _array(path: str, heading: str, text: str) -> Iterator[str]:
    yield from ("", f"{heading} [[{path}]]", "", text, "")
    yield from _table(iter(table_fields(path)))
    yield from _details(table_fields(path))


def _table(fields: Iterator[ProfileField]) -> Iterator[str]:
    yield "| field | value | default | at resume | |"
    yield "| --- | --- | --- | --- | --- |"
    for field in fields:
        unit = f" ({field.unit})" if field.unit else ""
        default = field.absent or ("required" if field.required else f"`{toml_value(field.default)}`")
        yield f"| `{field.name}` | {field.requirement}{unit} | {default} | {field.at_resume} | {field.help} |"


def _details(fields: tuple[ProfileField, ...]) -> Iterator[str]:
    told = [field for field in fields if field.detail or field.aliases]
    if told:
        yield ""
    for field in told:
        aliases = f"Elsewhere: {', '.join(f'`{alias}`' for alias in field.aliases)}." if field.aliases else ""
        yield f"- `{field.name}`: {' '.join(part for part in (field.detail, aliases) if part)}"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
