"""Random profiles and random ways to write them, for the property tests of this folder."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from engine.profile.fields import OF_A_FILE, STAGES, ProfileField, find_field, profile_field, profile_fields
from engine.profile.rules import RULES
from engine.profile.schema import Profile
from engine.profile.to_toml import toml_value
from engine.schedule import Kind, is_used

_LIMITS = {
    "dataset.resolution": (512, 2048),
    "schedule.cycles": (1, 3),
    "schedule.cycle_growth": (1, 1),
    "schedule.decay_share": (0, 0.5),
    "schedule.warmup_steps": (0, 5),
    "training.steps": (10, 10_000_000),
}
"""Ranges narrowed so that the rules between fields hold."""

texts = st.text(st.characters(codec="utf-8") | st.sampled_from("\"'\\\t\n#=[]{},\x00\x1b\x7f\u2028é漢🙂"), max_size=30)
paths = st.text(st.characters(codec="utf-8", exclude_characters="\0~"), min_size=1, max_size=30)

_SOURCE: dict[str, st.SearchStrategy[Any]] = {
    "caption_extension": st.sampled_from([".txt", ".caption"]),
    "metadata": paths,
    "trigger": texts,
    "suffix": texts,
    "regularisation": st.booleans(),
    "alpha_mask": st.booleans(),
    "mask_folder": paths,
    "flip": st.booleans(),
    "random_crops": st.integers(0, 64),
    "caption_dropout": st.floats(0, 1),
}
"""Some of a source's fields that no rule ties to others."""


def values(field: ProfileField) -> st.SearchStrategy[Any]:
    """Valid values of one field, as TOML would hold them."""
    if field.kind in {"int", "float"}:
        return _numbers(field)
    source = st.fixed_dictionaries({"path": paths}, optional={**_SOURCE, "repeats": st.integers(1, 10_000)})
    stage = st.fixed_dictionaries({"steps": st.integers(10, 1000)}, optional={"lr": st.floats(0.01, 1)})
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "choice": st.sampled_from([1] if field.path == "schema" else list(field.choices or ("",))),
        "strings": st.lists(texts, max_size=4),
        "numbers": st.lists(_numbers(field), max_size=4),
        "tables": st.lists(stage if field.path == STAGES else source, min_size=1, max_size=3),
        "str": texts,
    }
    by_path: dict[str, st.SearchStrategy[Any]] = {
        "name": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"),
        "launch.device": st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]),
        "model.base": paths,
        "model.vae": paths,
        "network.start_from": paths,
        "validation.folders": st.lists(paths, max_size=3),
        "captions.separator": st.sampled_from([",", ";", " | "]),
        "captions.keep_separator": st.sampled_from(["", "|||", "ŧ"]),
        "logging.trackers": st.lists(st.sampled_from(["tensorboard", "wandb"]), max_size=2),
        "logging.project": st.text(min_size=1, max_size=20),
        "schedule.rules": st.lists(st.floats(0, 1), min_size=1, max_size=4).map(
            lambda factors: ", ".join(f"{step}:{factor!r}" for step, factor in enumerate(factors))
        ),
    }
    return by_path.get(field.path, by_kind[field.kind])


def _numbers(field: ProfileField) -> st.SearchStrategy[Any]:
    low, high = _LIMITS.get(field.path, (field.minimum, field.maximum))
    if field.kind == "int":
        step = field.multiple_of or 1
        top = int(1_000_000 if high is None else high) - field.maximum_exclusive
        return st.integers(int(low or 0) // step, top // step).map(lambda number: number * step)
    return st.floats(
        float(low or 0),
        1e6 if high is None else float(high),
        exclude_min=field.minimum_exclusive,
        exclude_max=field.maximum_exclusive,
    ).map(lambda number: number + 0.0)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """A valid profile as ``tomllib`` would give it: required fields and some of the others."""
    found: dict[str, Any] = {}
    for field in profile_fields():
        if field.path in (STAGES, *OF_A_FILE) or not (field.required or field.path in _LIMITS or draw(st.booleans())):
            continue
        place = found.setdefault(field.section, {}) if field.section else found
        place[field.name] = draw(values(field))
    if found.get("checkpoints", {}).get("keep_last") == 1:
        found["checkpoints"]["keep_last"] = 2
    _keep_what_the_schedule_uses(found["schedule"])
    for name, value in (("bucket_min", 256), ("bucket_max", 2048)):
        found["dataset"].pop(name, None)
        if draw(st.booleans()):
            found["dataset"][name] = value
    return with_rules_held(found)


def with_rules_held(found: dict[str, Any]) -> dict[str, Any]:
    """``found`` less the fields that break a rule with others; all defaults together break none."""
    broken = _broken_fields(found)
    while broken:
        for path in broken:
            section, _, name = path.rpartition(".")
            if not profile_field(path).required:
                found.get(section, {}).pop(name, None)
        broken = _broken_fields(found)
    return found


def _broken_fields(data: dict[str, Any]) -> tuple[str, ...]:
    """The fields of the first rule that ``data`` breaks; none if it breaks none."""
    for rule in RULES:
        values: dict[str, Any] = {}
        for path in rule.fields:
            section, _, name = path.rpartition(".")
            declared = find_field(path)
            assert declared is not None
            values[path] = data.get(section, {}).get(name, declared.default)
        if rule.check(values) is not None:
            return rule.fields
    return ()


def _keep_what_the_schedule_uses(table: dict[str, Any]) -> None:
    kind = Kind(table.get("kind", "cosine"))
    for name in [name for name in table if name != "kind" and not is_used(kind, name)]:
        del table[name]
    if table.get("warmup_share"):
        table.pop("warmup_steps", None)
        table["warmup_share"] = min(table["warmup_share"], 0.5)
    if kind is Kind.PIECEWISE:
        table.setdefault("rules", "0:1, 5:0.5")


def profiles() -> st.SearchStrategy[Profile]:
    """Valid profiles."""
    return tables().map(Profile.model_validate)


_comments = st.sampled_from(["", "", "  # usual", "\t# 1 = [x] \"quoted\" 'here'"])
_gaps = st.sampled_from(["", "", "\n", "# a comment = 1\n", "\n# two\n# lines [x]\n\n"])


@st.composite
def texts_of_profiles(draw: st.DrawFn) -> str:
    """A valid profile as a person may write it: any order, comments, indentation, dotted keys, tables in braces."""
    data = draw(tables())
    head = [f"{name} = {toml_value(data.pop(name))}" for name in ("schema", "name") if name in data]
    dotted: list[str] = []
    blocks: list[list[str]] = []
    for section in draw(st.permutations(sorted(data))):
        table = dict(data[section])
        as_tables: bool = draw(st.booleans())
        sources = table.pop("sources", None) if as_tables else None
        pairs = [f"{key} = {_written(draw, value)}" for key, value in draw(st.permutations(sorted(table.items())))]
        layout: str = draw(st.sampled_from(["table", "table", "table", "dotted", "braces"]))
        keeps_empty: bool = draw(st.booleans())
        if sources is not None:
            layout = "table"
        if any("\n" in pair for pair in pairs) and layout == "braces":
            layout = "table"
        if layout == "dotted" and pairs:
            dotted += [f"{section}.{pair}" for pair in pairs]
        elif layout == "braces":
            dotted.append(f"{section} = {{ {', '.join(pairs)} }}")
        elif pairs or keeps_empty:
            blocks.append([f"[{section}]", *pairs])
        for source in sources or ():
            indent = draw(st.sampled_from(["", "  "]))
            blocks.append(
                ["[[dataset.sources]]", *(f"{indent}{key} = {toml_value(item)}" for key, item in source.items())]
            )
    lines: list[str] = []
    for line in (*head, *dotted, *(line for block in blocks for line in block)):
        lines.append(f"{draw(_gaps)}{line}{draw(_comments)}")
    newline = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    text = "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n", "\n# the end\n"]))
    return text.replace("\n", newline)


def _written(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, list) and value and draw(st.booleans()):
        last = draw(st.sampled_from([",", ""]))
        items = ",\n".join(f"    {toml_value(item)}" for item in value)
        return f"[\n{items}{last}  # last\n]"
    return toml_value(value)
