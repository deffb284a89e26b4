"""Rules between the fields of ``[dataset]``, its sources and ``[captions]``: no setting is accepted that would do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.profile.rule import Broken, Rule, Values


def _sources(values: Values) -> Iterator[Mapping[str, Any]]:
    """The sources that are tables; before validation anything may stand there."""
    found = values["dataset.sources"]
    yield from (
        (source for source in found or () if isinstance(source, Mapping)) if isinstance(found, list | tuple) else ()
    )


def _only_regularisation_has_a_prior_weight(values: Values) -> Broken | None:
    for source in _sources(values):
        if source.get("prior_weight", 1.0) != 1.0 and not source.get("regularisation", False):
            return Broken(
                f"sets prior_weight for {source.get('path')!r}, which is no regularisation source",
                "set regularisation = true there, or take prior_weight out",
            )
    return None


def _kept_tags_are_kept_from_something(values: Values) -> Broken | None:
    here = {name: values[f"captions.{name}"] for name in ("keep_tokens", "shuffle", "tag_dropout")}

    def does_nothing(source: Mapping[str, Any]) -> bool:
        held = {name: source.get(name) if source.get(name) is not None else here[name] for name in here}
        return bool(held["keep_tokens"]) and not held["shuffle"] and not held["tag_dropout"]

    idle = [source for source in _sources(values) if does_nothing(source)]
    told = [source for source in idle if source.get("keep_tokens")]
    if told:
        what = f"is set for {told[0].get('path')!r}, where tags are neither shuffled nor dropped"
    elif here["keep_tokens"] and idle and len(idle) == len(list(_sources(values))):
        what = "keeps tags in their place, but tags are neither shuffled nor dropped"
    else:
        return None
    return Broken(what, "set captions.shuffle or captions.tag_dropout, or take keep_tokens out")


DATA_RULES: tuple[Rule, ...] = (
    Rule(
        ("dataset.sources",),
        "`prior_weight` of a source goes with its `regularisation`.",
        _only_regularisation_has_a_prior_weight,
    ),
    Rule(
        ("captions.keep_tokens", "captions.shuffle", "captions.tag_dropout", "dataset.sources"),
        "`keep_tokens` goes with `shuffle` or `tag_dropout`.",
        _kept_tags_are_kept_from_something,
    ),
)
