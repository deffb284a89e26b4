"""From pydantic's errors to problems in plain words, with the field that was most likely meant."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.profile.fields import (
    SOURCES,
    STAGES,
    TABLES,
    ProfileField,
    array_at,
    find_field,
    nearest_field,
    nearest_section,
    profile_fields,
    profile_sections,
    section_names,
    table_fields,
)
from engine.profile.problems import Problem, show_value, what_it_is
from engine.profile.source_map import Path

_SECRET: Final = re.compile(r"token|api_?key|password|passwd|secret", re.IGNORECASE)
_CHOICE_WORDS: Final = {
    "no": "fp32",
    "float32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "adamw8bit": "adamw_8bit",
    "adamwschedulefree": "schedule_free_adamw",
    "dadaptation": "dadapt_adam",
    "dadaptadam": "dadapt_adam",
    "cosine_with_min_lr": "cosine",
    "cosine_annealing": "cosine",
    "cosineannealinglr": "cosine",
    "cosineannealingwarmrestarts": "cosine_with_restarts",
    "piecewise_constant": "piecewise",
    "wsd": "warmup_stable_decay",
    "onecyclelr": "one_cycle",
    "onecycle": "one_cycle",
    "torch.optim.adamw": "adamw",
    "networks.lora": "lora",
    "constant_with_warmup": "constant",
}

Placed = Callable[[Path], tuple[str, int | None, int | None]]
"""From a path in the profile's tables to the file (or override), line and column that set it."""


def explain(error: Mapping[str, Any], place: Placed) -> Problem:
    """The problem behind one entry of ``ValidationError.errors()``."""
    path: Path = tuple(error["loc"])
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown(path, value, place)
    if error["type"] == "missing":
        return _missing(path, place)
    if len(path) == 1 and path[0] in section_names():
        return _not_a_table(str(path[0]), value, place)
    array = array_at(path)
    if array and len(path) <= len(array.split(".")) + 1:
        return _not_tables(array, path, value, place)
    return _wrong_value(path, value, place)


def dotted(path: Path) -> str:
    """``dataset.sources[0].path``: a path as messages show it; odd keys in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[\w-]+", part, re.ASCII) else show_value(part)
            text += f".{word}" if text else word
    return text


def field_at(path: Path) -> ProfileField | None:
    """The field that a place in the tables belongs to: list positions are passed over."""
    names = [part for part in path if isinstance(part, str)]
    return find_field(".".join(names))


def _is_misspelt(name: str) -> bool:
    """Whether a field's own name was meant that holds such a word: ``keep_token`` is no key."""
    names = [field.name for field in profile_fields() if _SECRET.search(field.name)]
    return bool(difflib.get_close_matches(name, names, n=1, cutoff=0.85))


def _unknown(path: Path, value: Any, place: Placed) -> Problem:
    name = str(path[-1])
    if _SECRET.search(name) and not _is_misspelt(name):
        rule = "no secrets in a profile: it is copied into every run"
        return Problem(*place(path), dotted(path), None, rule, "delete it and set an environment variable instead")
    if len(path) == 1 and isinstance(value, dict):
        near = nearest_section(name)
        suggestion = f"did you mean [{near}]?" if near else f"the sections are {', '.join(section_names())}"
        return Problem(*place(path), dotted(path), None, "there is no such section", suggestion)
    section = array_at(path) or (str(path[0]) if len(path) > 1 else "")
    near = nearest_field(name, section)
    if near:
        is_here = near.startswith(f"{section}.") if section else "." not in near
        last = near.rpartition(".")[2]
        if section == STAGES and not is_here:
            suggestion = f"write {show_value(near)} = {show_value(value)} below [{STAGES}.set]"
        elif section and not is_here and last == name:
            home = near.rpartition(".")[0]
            suggestion = f"it belongs {f'into [{home}]' if home else 'to the top, above the first [section]'}"
        else:
            suggestion = f"did you mean {last if section in TABLES and is_here else near}?"
    else:
        where = f"[[{section}]]" if section in TABLES else f"[{section}]" if section else "the top level"
        suggestion = f"{where} has {', '.join(_names(section))}"
    return Problem(*place(path), dotted(path), None, "there is no such field", suggestion)


def _names(section: str) -> tuple[str, ...]:
    if section in TABLES:
        return tuple(field.name for field in table_fields(section))
    found = next(item for item in profile_sections() if item.name == section)
    names = tuple(field.name for field in found.fields)
    return names if section else (*names, *(f"[{name}]" for name in section_names()))


_EXAMPLES: Final = {"model.base": '"/path/to/sdxl-base"', f"{SOURCES}.path": '"/path/to/images"'}


def _missing(path: Path, place: Placed) -> Problem:
    file, line, column = place(path)
    match path:
        case ("model", *_):
            return Problem(
                file,
                line,
                column,
                "model.base",
                None,
                "is missing",
                f"add [model] with base = {_EXAMPLES['model.base']}",
            )
        case ("dataset",) | ("dataset", "sources"):
            suggestion = f"add [[{SOURCES}]] with path = {_EXAMPLES[f'{SOURCES}.path']}"
            return Problem(file, line, column, SOURCES, None, "is missing", suggestion)
    field = field_at(path)
    example = _EXAMPLES.get(field.path, "…") if field else "…"
    return Problem(file, line, column, dotted(path), None, "is missing", f"add {path[-1]} = {example}")


def _not_a_table(section: str, value: Any, place: Placed) -> Problem:
    near = nearest_field(section, section) or next(field.path for field in _fields(section))
    name = near.rpartition(".")[2] if near.startswith(f"{section}.") else _fields(section)[0].name
    rule = f"is a section, not {what_it_is(value)}"
    if isinstance(value, list):
        suggestion = f"write [{section}] with single brackets, once"
    else:
        suggestion = f"write [{section}] on a line of its own and below it {name} = {show_value(value)}"
    return Problem(*place((section,)), section, show_value(value), rule, suggestion)


def _fields(section: str) -> tuple[ProfileField, ...]:
    return next(item.fields for item in profile_sections() if item.name == section)


def _not_tables(array: str, path: Path, value: Any, place: Placed) -> Problem:
    rule = f"must be {find_required(array).requirement}"
    shown: str | None = show_value(value)
    if isinstance(value, dict):
        shown, suggestion = None, f"write [[{array}]] with double brackets"
    elif array == STAGES:
        suggestion = f"write each stage as [[{array}]] with its steps"
    elif isinstance(value, str):
        suggestion = f"write [[{array}]] and below it path = {show_value(value)}"
    elif value == []:
        suggestion = f"add [[{array}]] with path = {_EXAMPLES[f'{array}.path']}"
    else:
        suggestion = f"write each folder as [[{array}]] with path and, if you like, repeats"
    return Problem(*place(path), dotted(path), shown, rule, suggestion)


def find_required(path: str) -> ProfileField:
    """The field at a path that is known to exist."""
    found = find_field(path)
    if found is None:
        raise KeyError(path)
    return found


def _wrong_value(path: Path, value: Any, place: Placed) -> Problem:
    field = field_at(path)
    if field is None:
        return Problem(*place(path), dotted(path), show_value(value), "is not a value this field can have")
    if field.path == "schema":
        rule = "must be 1, the only version of the profile format that this version reads"
        return Problem(*place(path), "schema", show_value(value), rule, "update sdxl-tui, or write schema = 1")
    if field.kind == "strings" and len(path) > 2:
        rule = f"must be text, not {what_it_is(value)}"
        return Problem(*place(path), dotted(path), show_value(value), rule, "put it in quotes")
    if field.kind == "numbers" and len(path) > 2:
        return Problem(*place(path), dotted(path), show_value(value), "must be a number", "write it without quotes")
    rule = f"must be {field.requirement}"
    if not _right_type(field, value):
        rule = f"{rule}, not {_named(value)}"
    return Problem(*place(path), dotted(path), show_value(value), rule, _mend(field, value))


def _right_type(field: ProfileField, value: Any) -> bool:
    match field.kind:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "bool":
            return isinstance(value, bool)
        case "str" | "choice":
            return isinstance(value, str)
    return isinstance(value, list)


def _named(value: Any) -> str:
    if isinstance(value, float):
        return "infinity" if math.isinf(value) else "nan" if math.isnan(value) else "a fraction"
    return what_it_is(value)


def _mend(field: ProfileField, value: Any) -> str:
    """What to write instead; empty where nothing can be guessed."""
    if isinstance(value, str):
        return _mend_text(field, value.strip())
    mended = ""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        match field.kind:
            case "str":
                mended = "put it in quotes"
            case "bool" if value in (0, 1):
                mended = f"write {'true' if value else 'false'}"
            case "int" if isinstance(value, float) and value.is_integer():
                mended = f"write {int(value)}"
            case "int" if field.multiple_of and value % field.multiple_of:
                mended = _multiples_near(field, int(value), field.multiple_of)
    return mended


def _multiples_near(field: ProfileField, value: int, step: int) -> str:
    below = value // step * step
    low, high = field.minimum or 0, field.maximum or math.inf
    near = [str(number) for number in (below, below + step) if low <= number <= high]
    return f"write {' or '.join(near)}" if near else ""


def _mend_text(field: ProfileField, text: str) -> str:
    mended = ""
    match field.kind:
        case "choice":
            near = _nearest_choice(field, text.lower())
            mended = f"did you mean {near}?" if near else ""
        case "bool" if text.lower() in {"true", "false"}:
            mended = f"write {text.lower()} without quotes"
        case "int" | "float" if re.fullmatch(r"[+-]?[\d_]*\.?\d+([eE][+-]?\d+)?", text):
            mended = f"write {text} without quotes"
        case "int" | "float" if re.fullmatch(r"\d+,\d+", text):
            mended = f"write decimals with a dot: {text.replace(',', '.')}"
        case "strings":
            mended = f"put it in brackets: [{show_value(text)}]"
        case "str" if field.path == "name":
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64]
            mended = f"for instance {name}" if name else ""
    return mended


def _nearest_choice(field: ProfileField, text: str) -> str | None:
    """Another trainer's word for a choice, a choice that ``text`` begins with or holds, or a similar spelling."""
    if (known := _CHOICE_WORDS.get(text)) in field.choices:
        return known
    inside = [choice for choice in field.choices if text.startswith(choice)]
    inside += [choice for choice in field.choices if choice in text]
    close = difflib.get_close_matches(text, field.choices, n=1, cutoff=0.5)
    return next(iter([*inside, *close]), None)
