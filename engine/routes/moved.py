"""Paths that a resume may find changed as long as what lies there is the same: base model, VAE and data set.

Digests tell, the ones that the checkpoint stores. Manager and engine both ask here, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.profile.fields import SOURCES
from engine.profile.schema import Profile
from engine.routes.effects import differences
from engine.routes.resuming import ResumePlan, plan_resume

Tell = Callable[[str], None]
"""Hears in a sentence what is being compared, which may take a while."""

MODEL: Final = frozenset({"model.base", "model.vae"})
BY_CONTENT: Final = MODEL | {SOURCES}


def tell_nobody(sentence: str, /) -> None:
    """A ``Tell`` that is not heard."""


def plan_resume_by_content(
    state: Mapping[str, Any], stored: Profile, wanted: Profile, tell: Tell = tell_nobody
) -> ResumePlan:
    """As ``plan_resume``; where such a path has changed, what lies there is compared with what the checkpoint stores of it.

    state: the checkpoint's ``state.json``; stored: the profile in it. Nothing is fetched, no picture of an unchanged path read.
    Raises ``ModelError`` or ``DatasetError`` if nothing that can be trained on lies where the path leads.
    """
    changed = BY_CONTENT.intersection(path for path, _, _ in differences(stored, wanted))
    same: frozenset[str] = frozenset()
    if changed & MODEL and _is_same_base(state, wanted, tell):
        same |= changed & MODEL
    if SOURCES in changed and _is_same_data(state, stored, wanted, tell):
        same |= {SOURCES}
    return plan_resume(stored, wanted, same_content=same, other_content=changed - same)


def _is_same_base(state: Mapping[str, Any], wanted: Profile, tell: Tell) -> bool:
    from engine.model.content import content_of  # noqa: PLC0415 - headers and digests, only where a path has changed

    tell("Comparing the base model with the one that was trained on …")
    digest = _text(state, "base_model", "digest")
    return digest is not None and content_of(wanted.model.base, wanted.model.vae) == digest


def _is_same_data(state: Mapping[str, Any], stored: Profile, wanted: Profile, tell: Tell) -> bool:
    from engine.data.content import is_same_data  # noqa: PLC0415 - Pillow, only where a path has changed

    tell("Comparing the data set with the one that was trained on; every image is read …")
    known = _text(state, "data", "fingerprint")
    # Judged by the stored rules: what other edits do with the data is their own effect.
    dataset = stored.dataset.model_copy(update={"sources": wanted.dataset.sources})
    return known is not None and is_same_data(dataset, stored.captions, known)


def _text(state: Mapping[str, Any], part: str, name: str) -> str | None:
    found = state.get(part)
    value = found.get(name) if isinstance(found, Mapping) else None
    return value if isinstance(value, str) else None
