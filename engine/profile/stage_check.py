"""Whether the stages of a profile hold: each makes a valid profile, and goes on from the one before as its ``keep`` says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from pydantic import ValidationError

from engine.profile.explain import dotted
from engine.profile.fields import OF_A_FILE, SOURCES, STAGES, TABLES, find_field, nearest_field, section_names
from engine.profile.problems import Problem, show_value
from engine.profile.schema import Profile, Stage
from engine.profile.source_map import Path as KeyPath
from engine.profile.stages import OWN_FIELDS, Overlaid, default_name, overlaid
from engine.profile.validate import Finder, validate
from engine.routes.effects import differences, refused, shown
from engine.routes.route import Route

_START: Final = "network.start_from"


@dataclass(frozen=True)
class _Checked:
    """A stage whose own fields are well-formed."""

    name: str
    keeps_state: bool
    overlaid: Overlaid
    profile: Profile | None
    problems: tuple[Problem, ...]
    """Those of its profile, at the place that set the value."""


def check_stages(data: Mapping[str, Any], place: Finder, known: list[Problem]) -> list[Problem]:
    """What is wrong with the stages in ``data``, the tables of a profile, besides what is ``known`` of the whole."""
    stages = data.get(STAGES)
    if not isinstance(stages, list):
        return []
    problems = list(_name_problems(stages, place))
    checked: list[_Checked | None] = []
    for index, stage in enumerate(stages):
        own = list(_own_problems(stage, index, place)) if isinstance(stage, dict) else []
        problems += own
        checked.append(None if own or not _is_stage(stage) else _check(data, index, place))
    there = [stage for stage in checked if stage is not None]
    problems += _told_once(there, known)
    for index, (before, stage) in enumerate(pairwise(checked), start=1):
        if before is not None and stage is not None:
            problems += _seam_problems(before, stage, index, place)
    return problems


def _is_stage(stage: object) -> bool:
    try:
        Stage.model_validate(stage)
    except ValidationError:
        return False
    return True


def _check(data: Mapping[str, Any], index: int, place: Finder) -> _Checked:
    stage = data[STAGES][index]
    over = overlaid(data, index)
    profile, found = validate(over.tables, replace(place, moved=over.written, derived=over.scaled))
    told = tuple(_in_its_words(problem, over) for problem in found)
    return _Checked(stage.get("name") or default_name(index + 1), stage.get("keep") == "state", over, profile, told)


def _in_its_words(problem: Problem, over: Overlaid) -> Problem:
    """``problem`` with the stage's names for its own fields: ``stages[0].steps`` for ``training.steps``."""
    names = {".".join(map(str, path)): written for path, written in over.written.items()}
    pattern = re.compile(rf"(?<![\w.])({'|'.join(re.escape(path) for path in OWN_FIELDS)})(?!\w)")

    def own(text: str) -> str:
        return pattern.sub(lambda found: dotted(names[found[0]]) if found[0] in names else found[0], text)

    if (lr := over.scaled.get(tuple(problem.field.split(".")))) is not None:
        return replace(problem, rule=f"keeps its ratio to {dotted(lr)} and {problem.rule}")
    head, bracket, rest = problem.field.partition("[")
    field = f"{dotted(names[head])}{bracket}{rest}" if head in names else problem.field
    return replace(problem, field=field, rule=own(problem.rule), suggestion=own(problem.suggestion))


def _told_once(stages: list[_Checked], known: list[Problem]) -> list[Problem]:
    """A problem of several stages is one; it names the stages, unless it is one of all of them."""
    by_problem: dict[Problem, list[str]] = {}
    for stage in stages:
        for problem in stage.problems:
            by_problem.setdefault(problem, []).append(stage.name)
    found = []
    for problem, names in by_problem.items():
        if problem in known:
            continue
        is_of_all = len(names) == len(stages) and not problem.field.startswith(STAGES)
        where = "" if is_of_all else f" (in the stage{'s' if len(names) > 1 else ''} {', '.join(names)})"
        found.append(replace(problem, rule=f"{problem.rule}{where}"))
    return found


def _name_problems(stages: list[Any], place: Finder) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for index, stage in enumerate(stages):
        own = stage.get("name") if isinstance(stage, dict) else None
        name = own if isinstance(own, str) else default_name(index + 1)
        first = names.setdefault(name, index)
        if first != index:
            path = (STAGES, index, "name")
            rule = f"is what stage {first + 1} is called, too"
            yield Problem(*place(path), dotted(path), show_value(name), rule, "give each a name of its own")


def _own_problems(stage: Mapping[str, Any], index: int, place: Finder) -> Iterator[Problem]:
    """What of a stage's own words cannot be, before its profile is looked at."""
    if not index and stage.get("keep") is not None:
        path: KeyPath = (STAGES, index, "keep")
        rule = "has no meaning in the first stage: there is none before it"
        yield Problem(*place(path), dotted(path), show_value(stage["keep"]), rule, "take it out")
    settings = stage.get("set")
    for name, value in settings.items() if isinstance(settings, dict) else ():
        if (fault := _fault_of_setting(name, value, index)) is not None:
            path = (STAGES, index, "set", name)
            yield Problem(*place(path), dotted(path), None, *fault)


def _fault_of_setting(name: str, value: Any, index: int) -> tuple[str, str] | None:
    """(rule, suggestion) where a stage cannot set the field ``name``."""
    if name in section_names() and isinstance(value, dict):
        inner, example = next(iter(value.items()), ("field", 0))
        return "is a section, not a field", f'put the whole name in quotes: "{name}.{inner}" = {show_value(example)}'
    if name in OWN_FIELDS:
        return "has a field of its own in a stage", f"write {OWN_FIELDS[name]} = {show_value(value)} below [[{STAGES}]]"
    declared = find_field(name)
    if declared is None:
        section, _, last = name.rpartition(".")
        near = nearest_field(last, section)
        return "there is no such field", f'did you mean "{near}"?' if near else "docs/profile-reference.md lists them"
    if name in {"schema", STAGES, *OF_A_FILE} or declared.section in TABLES:
        return "is not set in a stage", f"set {SOURCES} as a whole" if declared.section == SOURCES else "take it out"
    if name == _START and index:
        return "does nothing here: the weights are those of the stage before", "take it out, or set it in [network]"
    return None


def _seam_problems(before: _Checked, stage: _Checked, index: int, place: Finder) -> Iterator[Problem]:
    """Fields that differ between a stage and the one before, and must not."""
    if before.profile is None or stage.profile is None:
        return
    for path, old, new in differences(before.profile, stage.profile):
        never = refused(path, Route.CONTINUE)
        why = never or (refused(path, Route.RESCHEDULE) if stage.keeps_state else None)
        if why is None or path == _START:
            continue
        keys = tuple(path.split("."))
        told = stage.overlaid.written.get(keys) or before.overlaid.written.get(keys) or keys
        change = "changes" if path == SOURCES else f"changes from {shown(old)} to {shown(new)}"
        rule = f"{change} at the start of the stage {stage.name}, where {why}"
        if path in {"network.rank", "network.alpha"}:
            mend = "use one for all stages; sdxl-tui continue --rank resizes the weights of a run"
        elif never:
            mend = "use one value for all stages"
        else:
            mend = f'use one value for both stages, or write keep = "weights" in {dotted((STAGES, index))}'
        yield Problem(*place(told), dotted(told), None, rule, mend)
