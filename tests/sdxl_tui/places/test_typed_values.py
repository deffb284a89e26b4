"""What is typed in forms and what it means."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.profile.fields import ProfileField, profile_field, profile_fields
from engine.routes.rates import is_factor, read_rate
from sdxl_tui.widgets.field_text import is_in_range, text_of, value_of


@pytest.mark.parametrize(
    ("typed", "rate"),
    [
        ("1e-4", 1e-4),
        ("0.0003", 3e-4),
        ("x0.5", 2.5e-5),
        ("×2", 1e-4),
        ("*3.2", 1.6e-4),
        ("X 2", 1e-4),
        ("2x", 1e-4),
        ("50%", 2.5e-5),
        (" 1e-4 ", 1e-4),
        ("3,5e-5", 3.5e-5),
    ],
)
def test_a_rate_is_absolute_or_a_factor_of_the_present_one(typed: str, rate: float) -> None:
    assert read_rate(typed, current=5e-5, base=1e-4) == pytest.approx(rate)
    assert is_factor(typed) == any(sign in typed.lower() for sign in "x×*%")


@pytest.mark.parametrize("typed", ["", "fast", "x", "1e-4e", "nan", "inf", "x1e999", "1e-4 1"])
def test_what_is_no_rate_is_refused_with_a_sentence(typed: str) -> None:
    with pytest.raises(ValueError, match=r"type a rate|finite"):
        read_rate(typed, current=5e-5, base=1e-4)


def test_a_factor_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rate is 0"):
        read_rate("x2", current=0.0, base=0.0)


@given(st.text(max_size=20))
def test_any_text_gives_a_finite_rate_or_a_sentence(typed: str) -> None:
    try:
        assert math.isfinite(read_rate(typed, current=5e-5, base=1e-4))
    except ValueError as error:
        assert str(error)


NUMBERS = [field for field in profile_fields() if field.kind in {"int", "float"} and field.path != "schema"]


@given(st.sampled_from(NUMBERS), st.data())
def test_a_number_typed_as_it_is_shown_is_the_same_number(field: ProfileField, data: st.DataObject) -> None:
    low, high = field.minimum or 0, min(field.maximum or 1e9, 1e15)
    numbers: st.SearchStrategy[Any] = st.integers(int(low), int(high)) if field.kind == "int" else st.floats(low, high)
    value = data.draw(numbers.filter(lambda number: is_in_range(field, number)))
    assert value_of(field, text_of(field, value)) == value


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("optimizer.lr", "fast"),
        ("optimizer.lr", "0"),
        ("optimizer.lr", "-1e-4"),
        ("optimizer.lr", "nan"),
        ("optimizer.lr", "inf"),
        ("network.rank", "16.5"),
        ("network.rank", "0"),
        ("dataset.resolution", "1023"),
        ("network.dropout", "1"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_what_it_must_be(path: str, typed: str) -> None:
    field = profile_field(path)
    with pytest.raises(ValueError, match="must be"):
        value_of(field, typed)


def test_an_emptied_field_goes_back_to_its_default_unless_it_is_required() -> None:
    assert value_of(profile_field("network.rank"), "  ") is None
    assert value_of(profile_field("samples.prompts"), "\n\n") is None
    with pytest.raises(ValueError, match="needed"):
        value_of(profile_field("model.base"), "")


def test_prompts_are_one_a_line() -> None:
    assert value_of(profile_field("samples.prompts"), "a fox\n\n a fox, running \n") == ["a fox", "a fox, running"]
