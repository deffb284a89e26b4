"""Edits of TOML text that touch one value: where to replace, where to insert, what to cut out.

Every function takes the places of a text and returns the new text. Layouts it cannot edit raise ``EditError``; the caller
checks what comes out by parsing it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from engine.profile.source_map import Entry, Header, Path, SourceMap, scan
from engine.profile.to_toml import toml_value


class EditError(ValueError):
    """The text is laid out in a way that is not edited here."""


def set_value(places: SourceMap, data: dict[str, Any], keys: Path, value: Any) -> str:
    """The text with ``keys`` set to ``value``. data: what the text holds now."""
    old = _lookup(data, keys)
    if old is not None and _same(old, value):
        return places.text
    tables = [header for header in places.headers if header.is_array and header.path[:-1] == keys]
    if tables or (_is_tables(value) and keys not in places.entries):
        return _set_tables(places, tables, keys, old or [], value)
    if entry := places.entries.get(keys):
        return _replace_entry(places, entry, old, value)
    return _insert(places, keys, value)


def remove_value(places: SourceMap, keys: Path) -> str:
    """The text without ``keys``: its line, or its part of a table in braces, or its ``[[tables]]``."""
    if entry := places.entries.get(keys):
        return _cut(places, entry)
    text = places.text
    for header in reversed([header for header in places.headers if header.is_array and header.path[:-1] == keys]):
        text = _cut_table(scan(text), header)
    return text


def _lookup(data: Any, keys: Path) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(one, other) for one, other in zip(old, new, strict=True))
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    return type(old) is type(new) and bool(old == new)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _splice(text: str, start: int, end: int, new: str) -> str:
    return f"{text[:start]}{new}{text[end:]}"


def _newline(places: SourceMap) -> str:
    """The text's own line ending."""
    return "\r\n" if "\r\n" in places.text else "\n"


def _replace_entry(places: SourceMap, entry: Entry, old: Any, value: Any) -> str:
    if isinstance(old, list) and isinstance(value, list) and old and value:
        return _replace_elements(places, entry, old, value)
    return _splice(places.text, entry.start, entry.end, toml_value(value))


def _replace_elements(places: SourceMap, entry: Entry, old: Sequence[Any], value: Sequence[Any]) -> str:
    """Only the elements that differ, from the last to the first, so that the comments of the others stay."""
    elements = [places.entries[(*entry.path, index)] for index in range(len(old))]
    text, kept = places.text, min(len(old), len(value))
    if len(value) > len(old):
        text = _append_elements(places, elements[-1], value[len(old) :])
    elif len(value) < len(old):
        text = _splice(text, elements[kept - 1].end, elements[-1].end, "")
    for index in reversed(range(kept)):
        if not _same(old[index], value[index]):
            text = _splice(text, elements[index].start, elements[index].end, toml_value(value[index]))
    return text


def _append_elements(places: SourceMap, last: Entry, added: Sequence[Any]) -> str:
    """Below the last element if that stands on a line of its own, else behind it."""
    text, newline = places.text, _newline(places)
    indent = text[places.line_start(last.start) : last.start]
    behind = re.compile(r"[ \t]*,").match(text, last.end)
    if indent.strip():
        return _splice(text, last.end, last.end, "".join(f", {toml_value(item)}" for item in added))
    line_end = places.line_end(last.end)
    if line_end > 0 and text[line_end - 1] == "\r":
        line_end -= 1
    if "]" in text[last.end : line_end].partition("#")[0]:
        line_end = last.end
    lines = f",{newline}".join(f"{indent}{toml_value(item)}" for item in added)
    text = _splice(text, line_end, line_end, f"{newline}{lines}{',' if behind else ''}")
    return text if behind else _splice(text, last.end, last.end, ",")


def _insert(places: SourceMap, keys: Path, value: Any) -> str:
    *outer, name = keys
    section = tuple(outer)
    line = f"{name} = {toml_value(value)}"
    if not section:
        return _insert_at_top(places, line)
    if table := places.entries.get(section):
        return _insert_in_braces(places, table, line)
    siblings = [entry for entry in places.entries.values() if _is_line_of(entry, section)]
    if siblings:
        return _insert_after(places, siblings[-1], keys, value)
    if header := next((header for header in places.headers if header.path == section and not header.is_array), None):
        return _insert_line(places, places.line_end(header.end), line)
    below = next((header for header in places.headers if header.path[: len(section)] == section), None)
    if below:
        newline = _newline(places)
        block = f"[{section[0]}]{newline}{line}{newline}{newline}"
        start = _with_comment_above(places, below)
        return _splice(places.text, start, start, block)
    return _append(places, f"[{section[0]}]", [line])


def _is_line_of(entry: Entry, section: Path) -> bool:
    return entry.container == "table" and entry.path[:-1] == section


def _insert_after(places: SourceMap, sibling: Entry, keys: Path, value: Any) -> str:
    """Below ``sibling``, with its indentation and its way of naming the section (``[optimizer]`` or ``optimizer.lr``)."""
    start = places.line_start(sibling.key_start)
    indent = places.text[start : sibling.key_start]
    prefix = sibling.header.path if sibling.header else ()
    name = ".".join(str(key) for key in keys[len(prefix) :])
    return _insert_line(places, places.line_end(sibling.end), f"{indent}{name} = {toml_value(value)}")


def _insert_line(places: SourceMap, line_end: int, line: str) -> str:
    """A line of its own below the one that ends at ``line_end``."""
    text, newline = places.text, _newline(places)
    if line_end >= len(text):
        return f"{text}{newline}{line}{newline}"
    return _splice(text, line_end + 1, line_end + 1, f"{line}{newline}")


def _insert_at_top(places: SourceMap, line: str) -> str:
    newline = _newline(places)
    top = [entry for entry in places.entries.values() if entry.header is None and entry.container == "table"]
    if top:
        return _insert_line(places, places.line_end(top[-1].end), line)
    if not places.headers:
        separator = "" if not places.text or places.text.endswith("\n") else newline
        return f"{places.text}{separator}{line}{newline}"
    start = places.line_start(places.headers[0].start)
    return _splice(places.text, start, start, f"{line}{newline}{newline}")


def _insert_in_braces(places: SourceMap, table: Entry, assignment: str) -> str:
    if places.text[table.start] != "{":
        raise EditError("the section is not a table")
    inner = [
        entry for entry in places.entries.values() if entry.container == "inline" and entry.path[:-1] == table.path
    ]
    if inner:
        end = max(entry.end for entry in inner)
        return _splice(places.text, end, end, f", {assignment}")
    return _splice(places.text, table.start, table.end, f"{{ {assignment} }}")


def _append(places: SourceMap, header: str, lines: Sequence[str]) -> str:
    text, newline = places.text, _newline(places)
    if text and not text.endswith("\n"):
        text += newline
    gap = newline if text.strip() and not text.endswith((f"{newline}{newline}", "\n\n")) else ""
    return f"{text}{gap}{header}{newline}{''.join(f'{line}{newline}' for line in lines)}"


def _cut(places: SourceMap, entry: Entry) -> str:
    text = places.text
    if entry.container == "table":
        end = places.line_end(entry.end)
        return _splice(text, places.line_start(entry.key_start), min(len(text), end + 1), "")
    if entry.container != "inline":
        raise EditError("an element of a list is not removed alone")
    siblings = sorted(
        (
            other
            for other in places.entries.values()
            if other.container == "inline" and other.path[:-1] == entry.path[:-1]
        ),
        key=lambda other: other.key_start,
    )
    index = siblings.index(entry)
    if index + 1 < len(siblings):
        return _splice(text, entry.key_start, siblings[index + 1].key_start, "")
    if index:
        return _splice(text, siblings[index - 1].end, entry.end, "")
    return _splice(text, entry.key_start, entry.end, "")


def _set_tables(places: SourceMap, tables: Sequence[Header], keys: Path, old: list[Any], value: Any) -> str:
    """``[[tables]]``: change the fields that differ, cut surplus tables from the end, add missing ones after the last."""
    if not _is_tables(value) or not all(isinstance(item, dict) for item in old):
        raise EditError("tables are not replaced by something else")
    text = places.text
    for header in reversed(tables[len(value) :]):
        text = _cut_table(scan(text), header)
    for index, wanted in enumerate(value[: len(tables)]):
        for name in old[index].keys() - wanted.keys():
            text = _cut(found := scan(text), found.entries[(*keys, index, name)])
        for name, item in wanted.items():
            text = _set_in_table(scan(text), (*keys, index), name, item)
    for wanted in value[len(tables) :]:
        text = _add_table(scan(text), keys, wanted)
    return text


def _set_in_table(places: SourceMap, table: Path, name: str, item: Any) -> str:
    written = toml_value(item)
    if entry := places.entries.get((*table, name)):
        if places.text[entry.start : entry.end] == written:
            return places.text
        return _splice(places.text, entry.start, entry.end, written)
    siblings = [entry for entry in places.entries.values() if _is_line_of(entry, table)]
    if siblings:
        indent = places.text[places.line_start(siblings[-1].key_start) : siblings[-1].key_start]
        return _insert_line(places, places.line_end(siblings[-1].end), f"{indent}{name} = {written}")
    header = next(header for header in places.headers if header.path == table)
    return _insert_line(places, places.line_end(header.end), f"{name} = {written}")


def _add_table(places: SourceMap, keys: Path, wanted: dict[str, Any]) -> str:
    title = f"[[{'.'.join(str(key) for key in keys)}]]"
    lines = [f"{name} = {toml_value(item)}" for name, item in wanted.items()]
    inside = [header.end for header in places.headers if header.path[: len(keys)] == keys]
    inside += [
        entry.end for entry in places.entries.values() if entry.header and entry.header.path[: len(keys)] == keys
    ]
    if not inside:  # below its section, where that has lines
        inside = [header.end for header in places.headers if header.path == keys[:-1]]
        inside += [entry.end for entry in places.entries.values() if entry.header and entry.header.path == keys[:-1]]
    if not inside:
        return _append(places, title, lines)
    newline = _newline(places)
    return _insert_line(places, places.line_end(max(inside)), newline.join(["", title, *lines]))


def _cut_table(places: SourceMap, header: Header) -> str:
    """The header's line with the comment above it and all entries below it; what follows them stays."""
    start = _with_comment_above(places, header)
    own = [entry.end for entry in places.entries.values() if entry.header == header]
    end = min(len(places.text), places.line_end(max([header.end, *own])) + 1)
    if re.match(r"[ \t]*\r?\n", places.text[end:]) and re.search(r"(^|\n)[ \t]*\r?\n$", places.text[:start]):
        end = places.line_end(end) + 1  # one of the two empty lines that would meet
    return _splice(places.text, start, end, "")


def _with_comment_above(places: SourceMap, header: Header) -> int:
    """Start of the header's line, or of the comment lines directly above it."""
    start = places.line_start(header.start)
    while start > 0:
        above = places.line_start(start - 1)
        if not places.text[above:start].lstrip().startswith("#"):
            break
        start = above
    return start
