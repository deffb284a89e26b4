"""A resume with an edited profile: every field of the schema does what its declaration says, or the resume is refused by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.profile.fields import OF_A_FILE, ProfileField, profile_field, profile_fields
from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.routes.effects import applied_by
from engine.routes.resuming import plan_resume, routes_for
from engine.routes.route import Route, RouteError
from tests.engine.profile.profile_strategies import values, with_rules_held

BASE: dict[str, Any] = {"model": {"base": "/base"}, "dataset": {"sources": [{"path": "/images"}]}}
COMPANIONS: tuple[dict[str, dict[str, Any]], ...] = (
    {},
    *({"optimizer": {"kind": kind, "lr": 1.0}} for kind in profile_field("optimizer.kind").choices),
    *({"schedule": {"kind": kind}} for kind in profile_field("schedule.kind").choices if kind != "piecewise"),
    *({"loss": {"kind": kind}} for kind in profile_field("loss.kind").choices),
    *({"loss": {"timestep_distribution": kind}} for kind in profile_field("loss.timestep_distribution").choices),
    *({"network": {"kind": kind}} for kind in profile_field("network.kind").choices),
    {"schedule": {"kind": "piecewise", "rules": "0:1"}},
    {"schedule": {"tail_steps": 100}},
    {"schedule": {"tail_steps": 100, "tail_shape": "linear"}},
    {"optimizer": {"kind": "schedule_free_adamw"}, "schedule": {"kind": "constant"}},
    {"ema": {"decay": 0.99}},
    {"loss": {"kind": "huber", "delta_schedule": "exponential"}},
    {"loss": {"noise_offset": 0.1}},
    {"loss": {"multires_iterations": 4}},
    {"loss": {"input_perturbation": 0.1}},
    {"loss": {"prediction": "v_prediction"}},
    {"loss": {"prediction": "v_prediction", "min_snr_gamma": 5.0}},
    {"loss": {"debiased_estimation": True}},
    {"network": {"convolutions": True}},
    {"network": {"text_encoder": True}},
    {"network": {"text_encoder": True, "text_encoder_2": True}},
    {"network": {"text_encoder_2": True}},
    {"network": {"feed_forward": True}},
    {"training": {"on_nonfinite": "skip"}},
    {"captions": {"shuffle": True}},
    {"validation": {"share": 0.1}},
    {"validation": {"folders": ["/held-out"]}},
    {"samples": {"prompts": ["a cat"]}},
    {"logging": {"trackers": ["tensorboard"]}},
    {"dataset": {"buckets": False}},
    {"precision": {"compute": "bf16"}},
    {"checkpoints": {"keep_last": 5, "every_steps": 1}},
    {"checkpoints": {"keep_last": 5, "every_steps": 10}, "validation": {"share": 0.1, "every_steps": 10}},
)
"""What other fields have to be set to so that a field does something."""


def changed(field: ProfileField, value: Any) -> tuple[Profile, Profile] | None:
    """A profile without and one with ``field = value``, both valid and else equal; None if no companions allow it."""
    for companions in COMPANIONS:
        table: dict[str, Any] = copy.deepcopy(BASE)
        for section, own in companions.items():
            table[section] = table.get(section, {}) | own
        place = table.setdefault(field.section, {}) if field.section else table
        before = copy.deepcopy(table)
        place[field.name] = value
        if with_rules_held(copy.deepcopy(table)) == table and with_rules_held(copy.deepcopy(before)) == before:
            pair = Profile.model_validate(before), Profile.model_validate(table)
            if differ(*pair) == [field.path]:
                return pair
    return None


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "schedule.cycle_growth": st.floats(1.1, 2),
    "schedule.rules": st.floats(0, 1).map(lambda factor: f"0:1, 5:{factor!r}"),
}


def differ(one: Profile, other: Profile) -> list[str]:
    return [effect.field for effect in plan_resume(one, other).effects]


WALKED = [field for field in profile_fields() if field.path not in ("schema", *OF_A_FILE)]


@pytest.mark.parametrize("field", WALKED, ids=lambda field: field.path)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_each_field_is_applied_kept_or_refused_as_it_is_declared(field: ProfileField, data: st.DataObject) -> None:
    pairs = (
        VALUES.get(field.path, values(field))
        .map(lambda value: changed(field, value))
        .filter(lambda pair: pair is not None)
    )
    pair = data.draw(pairs)
    assert pair is not None
    stored, wanted = pair
    plan = plan_resume(stored, wanted)
    (effect,) = plan.effects
    assert effect.at_resume is field.at_resume
    match field.at_resume:
        case AtResume.APPLIED:
            assert plan.profile(keep_stored=False) == wanted
            assert effect.applied_by == (Route.RESUME,)
        case AtResume.RESTORED:
            with pytest.raises(RouteError) as caught:
                plan.profile(keep_stored=False)
            assert caught.value.field == field.path
            assert "--keep-stored" in str(caught.value)
            assert plan.profile(keep_stored=True) == stored
        case AtResume.FIXED:
            for keep_stored in (False, True):
                with pytest.raises(RouteError) as caught:
                    plan.profile(keep_stored=keep_stored)
                assert caught.value.field == field.path


def test_a_refusal_names_all_fields_and_only_routes_that_apply_every_one() -> None:
    stored = Profile.model_validate(BASE)
    wanted = Profile.model_validate(
        BASE | {"optimizer": {"lr": 5e-5, "weight_decay": 0.1}, "training": {"steps": 2000}}
    )
    with pytest.raises(RouteError) as caught:
        plan_resume(stored, wanted).profile(keep_stored=False)
    assert "training.steps: was 1600 and is now 2000 (and optimizer.lr, optimizer.weight_decay)" in str(caught.value)
    assert "To apply it, continue from the checkpoint." in str(caught.value)


def test_a_rank_and_a_rate_together_are_applied_by_a_resize_and_fewer_steps_by_no_extension() -> None:
    stored = Profile.model_validate(BASE)
    resized = Profile.model_validate(BASE | {"network": {"rank": 4, "alpha": 4}, "optimizer": {"lr": 5e-5}})
    assert routes_for(plan_resume(stored, resized).effects) == (Route.RESIZE,)
    shorter = Profile.model_validate(BASE | {"training": {"steps": 100}})
    assert routes_for(plan_resume(stored, shorter).effects) == (Route.RESCHEDULE, Route.CONTINUE)


def test_what_is_applied_comes_along_where_what_is_stored_is_kept() -> None:
    stored = Profile.model_validate(BASE)
    wanted = Profile.model_validate(BASE | {"optimizer": {"lr": 5e-5}, "samples": {"every_steps": 7}})
    trained = plan_resume(stored, wanted).profile(keep_stored=True)
    assert (trained.optimizer.lr, trained.samples.every_steps) == (stored.optimizer.lr, 7)


def test_stored_and_edited_settings_that_contradict_each_other_are_refused() -> None:
    cosine = Profile.model_validate(BASE)
    prodigy = Profile.model_validate(BASE | {"optimizer": {"kind": "prodigy", "lr": 1.0}})
    plan = plan_resume(cosine, prodigy)
    with pytest.raises(RouteError, match=r"optimizer\.kind"):
        plan.profile(keep_stored=True)


def test_the_same_content_at_another_place_is_applied_and_other_content_refused() -> None:
    moved = Profile.model_validate(BASE | {"model": {"base": "/elsewhere"}})
    stored = Profile.model_validate(BASE)
    plan = plan_resume(stored, moved, same_content=frozenset({"model.base"}))
    assert [effect.what_happens.partition(":")[0] for effect in plan.applied] == ["same base, moved"]
    assert plan.profile(keep_stored=False) == moved
    refused = plan_resume(stored, moved, other_content=frozenset({"model.base"}))
    with pytest.raises(RouteError, match="was /base and is now /elsewhere, which holds other content: no exact resume"):
        refused.profile(keep_stored=True)
    assert [effect.field for effect in plan_resume(stored, moved).fixed] == ["model.base"]


@pytest.mark.parametrize(
    ("path", "routes"),
    [
        ("samples.seed", (Route.RESUME,)),
        ("training.steps", (Route.EXTEND, Route.RESCHEDULE, Route.CONTINUE)),
        ("optimizer.unet_lr", (Route.RESCHEDULE, Route.CONTINUE)),
        ("schedule.kind", (Route.RESCHEDULE, Route.CONTINUE)),
        ("optimizer.weight_decay", (Route.CONTINUE,)),
        ("dataset.sources", (Route.CONTINUE,)),
        ("network.rank", (Route.RESIZE,)),
        ("network.dora", ()),
        ("network.start_from", ()),
    ],
)
def test_every_field_knows_the_routes_that_apply_it(path: str, routes: tuple[Route, ...]) -> None:
    assert applied_by(path) == routes
