"""From a file to TOML's tables: what can go wrong before there is a single field, told in plain words.

``tomllib`` is the only judge of the syntax; this module finds its place in the text and says what it means.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from engine.profile.fields import TABLES
from engine.profile.problems import Problem, ProfileError
from engine.profile.source_map import SourceMap, scan

MAX_BYTES: Final = 1_000_000

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEY_LINE = re.compile(r"\s*([A-Za-z0-9_.\-]+)\s*=")
_WORDS: Final = {"True": "true", "False": "false", "yes": "true", "no": "false", "on": "true", "off": "false"}
_NOTHING: Final = {"None", "null", "none", "nil"}


def read_text(path: Path) -> str:
    """The profile's text, without a byte order mark. Raises ``ProfileError`` for anything that is not a small UTF-8 file."""
    return decode(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The profile's content. Raises ``ProfileError`` for anything that is not a small file you may read."""

    def refuse(rule: str, suggestion: str = "") -> ProfileError:
        return ProfileError([Problem(str(path), None, None, "", None, rule, suggestion)])

    try:
        if path.is_dir():
            raise refuse("is a folder, not a profile", "name the .toml file in it")
        if path.exists() and not path.is_file():
            raise refuse("is not a regular file", "a profile is a .toml file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse("there is no such file", "check the path, or list the profiles in the app") from None
    except PermissionError:
        raise refuse("may not be read by you", "check its permissions (chmod u+r)") from None
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > MAX_BYTES:
        raise refuse("is larger than 1 MB", "a profile is a short text file; this one is something else")
    return data


def decode(data: bytes, shown: str) -> str:
    """UTF-8 text without a byte order mark. Raises ``ProfileError`` naming line and column of the first byte that is none."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = Problem(
            shown, 1, 1, "", None, "is saved as UTF-16", "save it as UTF-8 (an editor's Save As offers it)"
        )
        raise ProfileError([problem])
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        rule = f"is not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise ProfileError([Problem(shown, line, column, "", None, rule, "save it as UTF-8")]) from None


def parse_toml(text: str, shown: str) -> tuple[dict[str, Any], SourceMap]:
    """The tables of ``text`` and the places of everything in it. Raises ``ProfileError`` with the one syntax problem."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ProfileError([Problem(shown, None, None, "", None, "is larger than 1 MB", "a profile is a short text")])
    try:
        return tomllib.loads(text), scan(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError([_explain(text, shown, str(error))]) from None
    except RecursionError:
        problem = Problem(
            shown, None, None, "", None, "nests brackets too deeply", "a profile is at most three levels deep"
        )
        raise ProfileError([problem]) from None


def _explain(text: str, shown: str, message: str) -> Problem:
    text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    place = _PLACE.search(message)
    reason = message[: place.start()] if place else message
    if place and place.group(1):
        number, column = int(place.group(1)), int(place.group(2))
    else:
        number = max((i for i, line in enumerate(lines, start=1) if line.strip()), default=1)
        column = len(lines[number - 1]) + 1
    if reason.startswith(("Unterminated string", "Illegal character '\\n'")) and column == 1 and number > 1:
        number -= 1
        column = len(lines[number - 1]) + 1
    line = lines[number - 1] if number <= len(lines) else ""
    if reason.startswith(_ESCAPES) and "\\" in line[:column]:
        column = line.rindex("\\", 0, column) + 1
    elif reason.startswith("Cannot"):  # about the key, where tomllib's place is behind the value
        column = len(line) - len(line.lstrip()) + 1
    rule, suggestion = _plain_words(reason, line, column, lines[: number - 1])
    shown_line = "".join(letter if letter.isprintable() else " " if letter == "\t" else "�" for letter in line[:200])
    excerpt = f"{shown_line}\n{' ' * min(column - 1, 199)}^"
    return Problem(shown, number, column, "", None, f"not TOML: {rule}", suggestion, excerpt)


def _plain_words(reason: str, line: str, column: int, above: list[str]) -> tuple[str, str]:
    """What tomllib's ``reason`` means, and what to do: two sentences."""
    rest = line[column - 1 :].strip()
    key = match.group(1) if (match := _KEY_LINE.match(line)) else ""
    if control := re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line[column - 1 : column]):
        return f"an invisible control character (U+{ord(control.group()):04X})", "delete it"
    found = next((sentence[1:] for sentence in _SENTENCES if reason.startswith(sentence[0])), None)
    if reason == "Invalid value":
        found = _invalid_value(key, rest)
    elif reason.startswith("Expected newline or end of document"):
        found = _leftover(line, column, rest)
    elif reason.startswith("Cannot declare"):
        found = _declared_twice(reason)
    elif reason.startswith(("Cannot overwrite", "Duplicate inline table key")):
        found = f"{key or 'this key'} is set twice{_earlier(key, above)}", "keep one of the two"
    return found or (reason[:1].lower() + reason[1:], "")


_BACKSLASH: Final = (
    "a backslash inside double quotes starts an escape",
    "put a path with backslashes in 'single quotes'",
)
_ESCAPES: Final = ("Unescaped '\\'", "Invalid hex value", "Escaped character is not")
_SENTENCES: Final = (
    *((beginning, *_BACKSLASH) for beginning in _ESCAPES),
    ('Expected "\'"', "a quote is not closed on its line", "add the closing quote"),
    ("Invalid statement", "a line that is neither key = value nor a [section]", "write key = value"),
    ("Expected '=' after a key", "a key without = and a value", "write key = value"),
    ("Unterminated string", "a quote is not closed", "add the closing quote"),
    ("Illegal character '\\n'", "a quote is not closed on its line", "add the closing quote"),
    ("Unclosed array", "a list is not closed", "add the closing ] and put a comma between the values"),
    (
        "Unclosed inline table",
        "a table in braces is not closed",
        "add the closing } and put a comma between the values",
    ),
    ("Expected ']' at the end of a table", "a [section] line is not closed", "write it as [section]"),
    ("Expected ']]' at the end of an array", "a [[section]] line is not closed", "write it as [[dataset.sources]]"),
    (
        "Invalid initial character for a key",
        "a line that starts with neither a key nor a [section]",
        "write key = value",
    ),
    (
        "Cannot mutate immutable namespace",
        "a table in braces is extended further down",
        "write its fields in one place",
    ),
    ("Invalid date or time", "a date or time that does not exist", "put text in quotes"),
    ("Found invalid character", "an invisible control character", "delete it"),
    ("Illegal character", "an invisible control character", "delete it"),
)


def _invalid_value(key: str, rest: str) -> tuple[str, str]:
    word = re.split(r"[\s,#\]}]", rest, maxsplit=1)[0]
    if not word:
        return f"no value after {key} =" if key else "no value after =", "add one, or delete the line for the default"
    if word in _WORDS:
        return f"{word} is not a TOML value", f"write {_WORDS[word]}"
    if word in _NOTHING:
        return "TOML has no empty value", "delete the line: a missing field has its default"
    if word[0] in "“”‘’„«":
        return "typographic quotes", 'use straight quotes: "…"'
    if word[0] in ".,+-" or word[0].isdigit():
        return f"{word} is not a number", "write numbers like 0.0001 or 1e-4"
    example = rest.partition("#")[0].strip()
    return "text without quotes", f'write {key or "key"} = "{example}"'


def _leftover(line: str, column: int, rest: str) -> tuple[str, str]:
    before = line[: column - 1].rpartition("=")[2].strip()
    if before and before[-1].isdigit():
        number = f"{before}{rest.partition('#')[0].strip()}"
        if re.match(r"\d{4}-", number):
            return f"{number} is a date or time that does not exist", "put text in quotes"
        if rest.startswith(","):
            return f"{number} is not a number", f"write decimals with a dot: {number.replace(',', '.')}"
        if before == "0" and rest[:1].isdigit():
            return f"{number} starts with a 0", f"write {number.lstrip('0') or '0'}"
        return f"{number} is not a number", "write numbers like 0.0001 or 1e-4, and put text in quotes"
    return (
        f"{rest.partition('#')[0].strip()[:40]} stands after the end of the value",
        "one key = value per line, text in quotes",
    )


def _declared_twice(reason: str) -> tuple[str, str]:
    path = ".".join(re.findall(r"'([^']*)'", reason))
    if path in TABLES:
        return f"[{path}] is declared twice", f"write [[{path}]] with double brackets for each of them"
    return f"[{path}] is declared twice", "put all of its fields under one of them"


def _earlier(key: str, above: list[str]) -> str:
    try:
        found = scan("\n".join((*above, "")))
    except (ValueError, IndexError, RecursionError):
        return ""
    section = found.headers[-1].path if found.headers else ()
    entry = found.entries.get((*section, *key.split(".")))
    return f": it stands already at line {found.position(entry.key_start)[0]}" if entry else ""
