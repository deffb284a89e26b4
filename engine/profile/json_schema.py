"""The profile's declaration as JSON Schema, draft 7: what TOML editors complete, check and explain from.

It holds types, ranges, choices and names. How values fit together is left to ``rules.py``: ``sdxl-tui check`` has the last word.
"""

from __future__ import annotations

from typing import Any, Final

from engine.profile.fields import (
    EXTENDS,
    OF_A_FILE,
    STAGES,
    TABLES,
    WITHOUT,
    ProfileField,
    profile_fields,
    profile_sections,
    section_names,
    table_fields,
)
from engine.profile.schema import SCHEMA_VERSION, Profile
from engine.profile.setting import HAPPENS_AT_RESUME
from engine.profile.stages import OWN_FIELDS

SCHEMA_ID: Final = f"urn:sdxl-tui:profile:{SCHEMA_VERSION}"

_TYPES: Final = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def json_schema() -> dict[str, Any]:
    """The whole schema, ready for ``json.dumps``."""
    top: dict[str, Any] = {}
    for section in profile_sections():
        fields = {field.name: _field(field) for field in section.fields}
        if section.name:
            top[section.name] = {"title": f"[{section.name}]", "description": section.help, **_table(fields)}
        else:
            top |= fields
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_ID,
        "title": "sdxl-tui profile",
        "description": f"{Profile.__doc__} sdxl-tui check also looks at how the values fit together.",
        **_table(top),
        "if": {"required": [EXTENDS]},
        "then": {},
        "else": _required(),
    }


def _required() -> dict[str, Any]:
    """What a profile that extends no other one must say."""
    sections: dict[str, list[str]] = {}
    for field in profile_fields():
        if field.required:
            sections.setdefault(field.section, []).append(field.name)
    return {
        "required": list(sections),
        "properties": {section: {"required": names} for section, names in sections.items()},
    }


def _table(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


def _field(field: ProfileField) -> dict[str, Any]:
    found = {"title": field.path, "description": _description(field), **_value(field)}
    if field.path == "schema":
        found["default"] = SCHEMA_VERSION
    elif not field.required and not field.is_optional and field.kind not in {"tables", "settings"}:
        found["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    return found


def _description(field: ProfileField) -> str:
    """Help, explanation, unit, what holds without it, and what a resume does with a changed value."""
    unit = f"Unit: {field.unit}." if field.unit else ""
    absent = f"Not set: {field.absent}." if field.absent else ""
    meaning = f"At resume: {field.at_resume.value}, {HAPPENS_AT_RESUME[field.at_resume]}."
    return "\n\n".join(
        part for part in (field.help, " ".join(word for word in (field.detail, unit, absent) if word), meaning) if part
    )


def _value(field: ProfileField) -> dict[str, Any]:
    if field.path == "schema":
        return {"type": "integer", "enum": [SCHEMA_VERSION]}
    match field.kind:
        case "choice":
            return {"type": "string", "enum": list(field.choices)}
        case "strings" | "numbers" | "tables":
            sizes = {"minItems": field.min_length, "maxItems": field.max_length}
            limits = {name: limit for name, limit in sizes.items() if limit is not None}
            return {"type": "array", "items": _items(field), **limits}
        case "settings":
            return _table({other.path: _field(other) for other in profile_fields() if _is_set_by_stages(other)})
    return {"type": _TYPES[field.kind], **_limits(field)}


def _items(field: ProfileField) -> dict[str, Any]:
    if field.kind == "tables":
        return _tables(field.path)
    if field.kind == "numbers":
        return {"type": "number", **_limits(field)}
    return _names() if field.path == WITHOUT else {"type": "string"}


def _tables(array: str) -> dict[str, Any]:
    fields = table_fields(array)
    required = tuple(field.name for field in fields if field.required)
    described = {"title": f"[[{array}]]", "description": (TABLES[array].__doc__ or "").strip()}
    return {**described, **_table({field.name: _field(field) for field in fields}, required)}


def _is_set_by_stages(field: ProfileField) -> bool:
    return field.path not in {"schema", STAGES, *OF_A_FILE, *OWN_FIELDS}


def _names() -> dict[str, Any]:
    fields = [field.path for field in profile_fields() if field.path not in {"schema", *OF_A_FILE}]
    return {"type": "string", "enum": [*section_names(), *fields]}


def _limits(field: ProfileField) -> dict[str, Any]:
    low = "exclusiveMinimum" if field.minimum_exclusive else "minimum"
    high = "exclusiveMaximum" if field.maximum_exclusive else "maximum"
    limits = {
        low: field.minimum,
        high: field.maximum,
        "multipleOf": field.multiple_of,
        "minLength": field.min_length,
        "maxLength": field.max_length,
        "pattern": field.pattern,
    }
    return {name: limit for name, limit in limits.items() if limit is not None}
