"""Edits of TOML text that touch one value, made with tomlkit, which keeps order, comments and formatting.

tomlkit reads, changes and writes. Here is where a new line belongs, and the two edits that tomlkit cannot make, which are
cut into the text at places found by ``source_map``. Layouts that are not edited raise ``EditError``; the caller checks
what comes out by parsing it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, InlineTable, Item, Key, Table

from engine.profile.source_map import Header, SourceMap, scan
from engine.profile.to_toml import toml_value

Part = Container | Table | InlineTable
Body = list[tuple[Key | None, Item]]


class EditError(ValueError):
    """The text is laid out in a way that is not edited here."""


def edit(text: str, keys: Sequence[str], value: Any) -> str:
    """The text with ``keys`` (its section and its name) set to ``value``, or without it where ``value`` is None."""
    if "\r\n" in text and text.count("\r\n") == text.count("\n"):
        return edit(text.replace("\r\n", "\n"), keys, value).replace("\n", "\r\n")
    if text and not text.endswith("\n"):
        return edit(f"{text}\n", keys, value).removesuffix("\n")
    try:
        return _unset(text, keys) if value is None else _set(text, keys, value)
    except (TOMLKitError, LookupError, ValueError, RuntimeError) as error:  # tomlkit's ways to refuse an odd layout
        raise EditError(str(error)) from error


def typed(data: Any) -> Any:
    """``data`` in a form that compares strictly: 1, 1.0 and true differ, nan equals nan, an empty table is nothing."""
    match data:
        case Mapping():
            inner = {key: typed(value) for key, value in data.items()}
            return {key: value for key, value in inner.items() if value != {}}
        case list():
            return [typed(item) for item in data]
    return (type(data), repr(data))


def _set(text: str, keys: Sequence[str], value: Any) -> str:
    *section, name = keys
    tables = isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
    if headers := _array_headers(text, keys):
        if not tables:
            raise EditError("tables are not replaced by something else")
        text = _without_tables(text, headers[len(value) :])
        text = _without_tables(text, _inner_headers_gone(text, keys, value))
    document = _read(text)
    parts = list(_parts(document, section))
    there = [part for part in parts if name in part]
    home = _home(parts)
    if headers:
        _set_tables([part[name] for part in there], value)
    elif there:
        _replace(there[0], name, value)
    elif tables and not (isinstance(home, InlineTable) or (isinstance(home, Table) and home.is_super_table())):
        _start_tables(document, home or next(iter(parts), None), keys, value)
    elif home is not None:
        _add(home, name, value)
    elif parts:
        return _with_header(scan(text), section, f"{name} = {toml_value(value)}")
    else:
        document.append(section[0], tomlkit.table().append(name, _item(value)))
    return document.as_string()


def _unset(text: str, keys: Sequence[str]) -> str:
    *section, name = keys
    if headers := _array_headers(text, keys):
        return _without_tables(text, headers)
    document = _read(text)
    for part in _parts(document, section):
        if name in part:
            part.remove(name)
    return document.as_string()


def _read(text: str) -> tomlkit.TOMLDocument:
    document = tomlkit.parse(text)
    if document.as_string() != text:
        raise EditError("tomlkit does not give the text back as it was")
    return document


def _item(value: Any) -> Item:
    return tomlkit.value(toml_value(value))


def _body(part: Part) -> Body:
    """Everything in a table in the order it is written; a document is only written out after its bodies are changed."""
    return part.body if isinstance(part, Container) else part.value.body


def _parts(container: Part, section: Sequence[str]) -> Iterator[Part]:
    """Every table ``section`` is written in: several where it has dotted keys, or others stand between."""
    if not section:
        yield container
        return
    for key, item in _body(container):
        if key is not None and key.key == section[0] and isinstance(item, Table | InlineTable):
            yield from _parts(item, section[1:])


def _home(parts: Sequence[Part]) -> Part | None:
    """Where a new line of a section goes: below its last line, else below its header; None if it has neither."""
    lined = [part for part in parts if isinstance(part, InlineTable) or _lines_end(_body(part))]
    headed = [part for part in parts if not (isinstance(part, Table) and part.is_super_table())]
    return next(reversed(lined or headed), None)


def _lines_end(body: Body) -> int:
    """The index behind the last ``key = value`` line, dotted ones included; 0 if there is none."""
    keyed = [(index, key, item) for index, (key, item) in enumerate(body, 1) if key]
    return max((index for index, key, item in keyed if key.is_dotted() or not isinstance(item, Table | AoT)), default=0)


def _replace(part: Part, name: str, value: Any) -> None:
    old = part[name]
    if isinstance(old, Table | AoT):
        raise EditError("a table is not replaced by a value")
    if isinstance(old, Array) and isinstance(value, list) and old and value:
        _change_elements(old, value)
    else:
        part[name] = _item(value)


def _change_elements(array: Array, wanted: Sequence[Any]) -> None:
    """Only what lies between the equal elements at both ends, so that the others keep their lines and comments."""
    old, new = typed(array.unwrap()), typed(wanted)
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
    for index in range(head, shorter - tail):
        array[index] = _item(wanted[index])
    for _ in range(len(old) - shorter):
        del array[shorter - tail]
    for index in range(shorter - tail, len(new) - tail):
        array.insert(index, _item(wanted[index]))


def _add(part: Part, name: str, value: Any) -> None:
    """Add a field below the last one of ``part``: tomlkit's own place is below all comments, even the next section's."""
    body, key, item = _body(part), tomlkit.key(name), _item(value)
    end = _lines_end(body)
    if isinstance(part, Table):
        item.trivia.indent = body[end - 1][1].trivia.indent if end else ""
        body.insert(end, (key, item))
    elif not end:
        part.append(key, item)
    elif isinstance(part, InlineTable):
        body[end:end] = [(None, tomlkit.ws(", ")), (key, item)]
    else:
        body.insert(end, (key, item))


def _set_tables(arrays: Sequence[AoT], wanted: Sequence[Mapping[str, Any]]) -> None:
    """Change the fields that differ and add the tables that are missing. arrays: one, or several with others between."""
    tables = [table for array in arrays for table in array.body]
    for table, fields in zip(tables, wanted, strict=False):
        _change_table(table, fields)
    _append_tables(arrays[-1], _last_body(tables[-1]), wanted[len(tables) :])


def _change_table(table: Table | InlineTable, fields: Mapping[str, Any]) -> None:
    old = table.unwrap()
    for name in [name for name in old if name not in fields]:
        table.remove(name)
    for name in [name for name in old if name in fields and typed(old[name]) != typed(fields[name])]:
        inner = table[name]
        if isinstance(inner, Table | InlineTable) and isinstance(fields[name], Mapping):
            _change_table(inner, fields[name])
        else:
            _replace(table, name, fields[name])
    for name in [name for name in fields if name not in old]:
        _add(table, name, fields[name])


def _last_body(table: Table) -> Body:
    """The body that a table's last line is in: its own, or that of the table inside it."""
    inner = next((item for key, item in reversed(_body(table)) if key), None)
    return _last_body(inner) if isinstance(inner, Table) else _body(table)


def _start_tables(
    document: Container, part: Part | None, keys: Sequence[str], wanted: Sequence[Mapping[str, Any]]
) -> None:
    """The first ``[[tables]]`` of a section, below what it has already; those of the top level at the end."""
    *sections, name = keys
    section = next(iter(sections), None)
    array = tomlkit.aot()
    if section is None:
        is_empty = not document.body
        _append_tables(array, [], wanted)
        if is_empty:
            array[0].trivia.indent = ""
        document.append(name, array)
    elif part is None:
        _append_tables(array, [], wanted)
        array[0].trivia.indent = ""  # the document adds the empty line, unless it is empty
        document.append(section, tomlkit.table(is_super_table=True).append(name, array))
    else:
        _append_tables(array, _body(part), wanted)
        part.append(name, array)


def _append_tables(array: AoT, above: Body, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Add tables; comments at the end of ``above`` go below them, since they belong to the section that follows."""
    for fields in wanted:
        end = max((index for index, (key, _) in enumerate(above, 1) if key), default=0)
        comments = above[end:]
        del above[end:]
        table = tomlkit.table()
        table.trivia.indent = "\n"
        for name, value in fields.items():
            table.append(name, _item(value))
        array.append(table)
        above = _body(table)
        above.extend(comments)


# What tomlkit cannot do: it gives a comment above a header to the table before, so it neither removes a table with its
# comment (and without what is below it) nor writes a new header above that comment.


def _array_headers(text: str, keys: Sequence[str]) -> list[Header]:
    return [header for header in scan(text).headers if header.is_array and header.path[:-1] == tuple(keys)]


def _inner_headers_gone(text: str, keys: Sequence[str], wanted: Sequence[Mapping[str, Any]]) -> list[Header]:
    """The tables inside an array's tables that ``wanted`` has no more: ``[stages.set]``."""
    found = []
    for header in scan(text).headers:
        array, (number, *names) = header.path[: len(keys)], header.path[len(keys) :] or (None,)
        if array == tuple(keys) and isinstance(number, int) and names and names[0] not in wanted[number]:
            found.append(header)
    return found


def _with_header(places: SourceMap, section: Sequence[str], line: str) -> str:
    """The text with ``[section]`` and its first line above the section's ``[[tables]]``."""
    below = next(header for header in places.headers if header.path[: len(section)] == tuple(section))
    start = _comment_start(places, below)
    return f"{places.text[:start]}[{'.'.join(section)}]\n{line}\n\n{places.text[start:]}"


def _without_tables(text: str, headers: Sequence[Header]) -> str:
    """The text without these tables: their headers, the comments above, their lines; what follows the lines stays."""
    for header in reversed(headers):
        places = scan(text)
        start = _comment_start(places, header)
        depth = len(header.path)
        own = [entry.end for entry in places.entries.values() if entry.path[:depth] == header.path]
        own += [inner.end for inner in places.headers if inner.path[:depth] == header.path]
        end = places.line_end(max([header.end, *own])) + 1
        if re.match(r"[ \t]*\n", text[end:]) and re.search(r"(^|\n)[ \t]*\n$", text[:start]):
            end = places.line_end(end) + 1  # one of the two empty lines that would meet
        text = text[:start] + text[end:]
    return text


def _comment_start(places: SourceMap, header: Header) -> int:
    """Start of the header's line, or of the comment lines directly above it."""
    start = places.line_start(header.start)
    while start > 0:
        above = places.line_start(start - 1)
        if not places.text[above:start].lstrip().startswith("#"):
            break
        start = above
    return start
