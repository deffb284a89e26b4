"""What a profile says now where its run's launch said something else with ``--set``: the launch's word stays, and that is told.

Whoever edits such a field in the file and goes on with the run would otherwise believe that the edit came along.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.profile.load import load_profile
from engine.profile.problems import ProfileError
from engine.profile.schema import Profile
from sdxl_tui.fleet.profile_diff import Side, diff_profiles, shown_value
from sdxl_tui.terminal.clean import clean

_LONGEST = 100


def kept_of_launch(
    source: Path,
    wanted: Profile,
    launched: Sequence[str],
    *,
    since: float,
    said_now: Collection[str] = (),
    of_stage: Callable[[Profile], Profile] = lambda profile: profile,
) -> tuple[str, ...]:
    """A sentence, safe to print and without its full stop, for each field of ``source`` that says something else than is trained.

    wanted: what is trained, of its stage. launched: the overrides of the launch, ``section.field=value``. said_now: further ones,
    which say themselves what they change. since: when it was launched (Unix seconds); files that nobody touched after that say
    what they said then, and nothing is told. of_stage: what of a whole profile the run trains. A field that the file does not
    name says nothing that could be passed over.
    """
    last = {_name(text): text for text in launched}
    found: list[str] = []
    for name, said in last.items():
        if name in map(_name, said_now):
            continue
        end = f"the launch's --set {clean(said, limit=_LONGEST)} is kept"
        others = [text for text in (*launched, *said_now) if _name(text) != name]
        try:
            alone = load_profile(source, others)
            trained = of_stage(alone.profile)
        except ProfileError as error:
            own = [problem for problem in error.problems if problem.field == name and problem.value is not None]
            found += [f"{name} has a problem in {clean(source.name)}: it {clean(one.rule)}; {end}" for one in own]
            continue
        except UserError:  # without what the launch said the run's stage is not there
            found.append(f"{name} says something else in {clean(source.name)}; {end}")
            continue
        files = [source, *map(Path, alone.lineage.parents)]
        if not any(_is_touched(file, since) for file in files) or not _names(alone.lineage.tables, name.split(".")):
            continue
        sides = Side(source.stem, source, trained), Side("trained", source, wanted)
        for one in diff_profiles(*sides).differences:
            value = "not set" if one.here is None else clean(shown_value(one, one.here), limit=_LONGEST)
            found.append(f"{one.field} is {value} in {clean(source.name)}; {end}")
    return tuple(found)


def _is_touched(file: Path, since: float) -> bool:
    """By the time of its change, which nothing sets back: not a copy that keeps times, nor a rename."""
    try:
        return file.stat().st_ctime > since
    except OSError:
        return True


def _name(override: str) -> str:
    return override.partition("=")[0].strip()


def _names(tables: Any, keys: Sequence[str]) -> bool:
    """Whether the tables of a file name the field at ``keys``; what a stage sets has one dotted key."""
    if not keys:
        return True
    if isinstance(tables, list):
        return keys[0].isdecimal() and int(keys[0]) < len(tables) and _names(tables[int(keys[0])], keys[1:])
    if not isinstance(tables, Mapping):
        return False
    ends = range(1, len(keys) + 1)
    return any(".".join(keys[:end]) in tables and _names(tables[".".join(keys[:end])], keys[end:]) for end in ends)
