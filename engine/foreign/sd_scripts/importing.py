"""Profiles from foreign settings: a file of sd-scripts, or the metadata of a LoRA.

The translation is made in steps that build on one another; at the end the profile is held against the rules of its own format,
and what does not fit is taken out and told, so that what is written always loads.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.foreign.lora_facts import LoraFacts
from engine.foreign.sd_scripts.given import Given
from engine.foreign.sd_scripts.imported import Imported
from engine.foreign.sd_scripts.metadata import given_of_metadata
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.profile_text import profile_text
from engine.foreign.sd_scripts.read_file import given_of_lora, read_given
from engine.foreign.sd_scripts.to_dataset import translate_dataset
from engine.foreign.sd_scripts.to_length import translate_intervals, translate_saving, translate_steps
from engine.foreign.sd_scripts.to_network import translate_network
from engine.foreign.sd_scripts.to_optimizer import translate_optimizer
from engine.foreign.sd_scripts.to_rates import translate_rates
from engine.foreign.sd_scripts.to_rest import (
    translate_logging,
    translate_loss,
    translate_model,
    translate_precision,
    translate_samples,
)
from engine.foreign.sd_scripts.to_schedule import translate_schedule
from engine.foreign.sd_scripts.translation import Translation, with_fate
from engine.profile.load import parse_profile
from engine.profile.problems import Problem, ProfileError
from engine.profile.rules import RULES

_ROUNDS: Final = 60
_SHOWN: Final = 8
"""Paths that are named in one sentence."""


def import_file(path: Path, *, dataset_config: Path | None = None) -> Imported:
    """The profile that a file of sd-scripts describes. dataset_config: the file with its data set, if it names none that is here.

    Raises ``ImportFileError``, ``ForeignFileError`` or ``ProfileError`` for a file that cannot be imported.
    """
    return import_given(read_given(path, dataset_config=dataset_config))


def profile_from_metadata(metadata: Mapping[str, str], *, origin: str = "a LoRA file") -> Imported:
    """The profile that the ``ss_*`` metadata of a LoRA file tell of; what they do not tell is at our defaults.

    Base, VAE and folders of images are known by name alone, and stand below a placeholder. Whether text encoders were trained
    is told by their rate alone here; ``import_file`` looks at the tensors, too.
    """
    return import_given(given_of_metadata(metadata, origin))


def profile_from_lora(facts: LoraFacts) -> Imported:
    """``profile_from_metadata`` of a LoRA file, whose tensors tell which text encoders were trained.

    Raises ``ImportFileError`` if it has no ``ss_*`` metadata.
    """
    return import_given(given_of_lora(facts))


def import_given(given: Given) -> Imported:
    """The profile of settings that were read."""
    t = Translation(given)
    translate_precision(t)
    translate_model(t)
    translate_network(t)
    kind = translate_optimizer(t)
    translate_rates(t, kind)
    translate_loss(t)
    translate_dataset(t)
    t.translate_direct()
    steps = translate_steps(t)
    translate_schedule(t, kind, steps)
    translate_saving(t, steps)
    translate_samples(t)
    translate_intervals(t)
    translate_logging(t)
    t.finish()
    return _settled(t)


def _settled(t: Translation) -> Imported:
    """The result, once everything that a profile cannot hold is out of it."""
    for _ in range(_ROUNDS):
        text = profile_text(t, _absent(t))
        try:
            parse_profile(text, folder=t.given.folder or Path.cwd())
        except ProfileError as error:
            for problem in error.problems:
                _take_out(t, problem)
            continue
        break
    else:
        raise AssertionError("a profile that was imported does not load")
    return Imported(
        name=str(t.values["name"]),
        format=t.given.format,
        text=text,
        tables=tomllib.loads(text),
        lines=tuple(told.line() for told in sorted(t.told, key=lambda told: told.fate is Fate.DEFAULT)),
        missing=tuple(t.missing),
        remarks=(*t.given.remarks, *t.remarks, *_absent(t)),
    )


def _absent(t: Translation) -> list[str]:
    """One sentence for each reason why paths lead nowhere here."""
    found: dict[str, list[str]] = {}
    for path, what in t.absent.items():
        found.setdefault(what, []).append(path)
    return [f"kept as written, though it {what}: {_some(paths)}" for what, paths in found.items()]


def _some(paths: list[str]) -> str:
    rest = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def _take_out(t: Translation, problem: Problem) -> None:
    """Remove what a problem is about from the profile, and tell it of the settings it came from."""
    head, _, rest = problem.field.partition("sources")
    if head == "dataset." and rest:
        number, name = rest.strip("[.").replace("]", ".").split(".")[0], rest.rpartition(".")[2]
        for index, source in enumerate(t.sources):
            if name in source and number in (str(index), str(index + 1), name):
                del source[name]
        path = f"dataset.sources.{name}"
    else:
        rule = next((rule for rule in RULES if rule.fields[0] == problem.field and problem.field not in t.values), None)
        others = [field for field in reversed(rule.fields) if field in t.values] if rule is not None else []
        path = problem.field if problem.field in t.values else next(iter(others), problem.field)
        t.values.pop(path, None)
        t.comments.pop(path, None)
    why = f"{problem.rule}; {problem.suggestion}" if problem.suggestion else problem.rule
    t.told = [
        with_fate(told, Fate.UNSUPPORTED, why) if any(field == path for field, _ in told.becomes) else told
        for told in t.told
    ]
