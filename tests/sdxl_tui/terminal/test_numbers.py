"""How numbers are written."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_tui.terminal.numbers import (
    format_age,
    format_bytes,
    format_count,
    format_duration,
    format_factor,
    format_loss,
    format_lr,
    format_percent,
    format_speed,
)


@pytest.mark.parametrize(
    ("lr", "shown"),
    [(1e-4, "1.00e-4"), (5.05e-5, "5.05e-5"), (0.0, "0"), (1.0, "1.00e0"), (9.999e-5, "1.00e-4"), (None, "–")],
)
def test_learning_rates(lr: float | None, shown: str) -> None:
    assert format_lr(lr) == shown


@given(st.floats(min_value=1e-12, max_value=10))
def test_a_written_learning_rate_reads_back_to_three_digits(lr: float) -> None:
    shown = format_lr(lr)
    assert re.fullmatch(r"\d\.\d\de-?\d+", shown)
    assert math.isclose(float(shown), lr, rel_tol=5.01e-3)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"), (0.4, "<1 s"), (59.4, "59 s"), (59.6, "1 m 00 s"), (185, "3 m 05 s"), (3599.9, "1 h 00 m"),
        (8040, "2 h 14 m"), (1e12, "> 999 d"), (273600, "3 d 04 h"), (-5, "0 s"), (math.nan, "–"), (math.inf, "–"), (None, "–"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, shown: str) -> None:
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_960, "10 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"),
        (1_234_567, "1.2 MB"), (49_000_000_000, "49 GB"), (5e18, "5000 PB"), (None, "–"),
    ],
)  # fmt: skip
def test_sizes(count: float | None, shown: str) -> None:
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("factor", "shown"),
    [
        (2.0, "2.0×"), (0.5, "0.50×"), (1.0, "1.0×"), (0.999, "1.0×"), (25.2, "25×"), (1234.0, "1,234×"), (0.0, "0×"),
        (1e-3, "1.00e-3×"), (5e7, "5.00e7×"), (math.inf, "∞×"), (None, "–"),
    ],
)  # fmt: skip
def test_factors(factor: float | None, shown: str) -> None:
    assert format_factor(factor) == shown


def test_ages_counts_losses_shares_and_speeds() -> None:
    assert [format_age(seconds) for seconds in (-3, 3, 42, 300, 7300, 200_000, None)] == [
        "just now", "just now", "42 s ago", "5 min ago", "2 h ago", "2 d ago", "–",
    ]  # fmt: skip
    assert [format_count(count) for count in (7, 12345, None)] == ["7", "12,345", "–"]
    assert [format_loss(loss) for loss in (0.113, 12345.6, math.nan, None)] == ["0.1130", "1.23e4", "–", "–"]
    assert [format_percent(share) for share in (0.0, 0.999, 1.0, 0.29, None)] == ["0 %", "99 %", "100 %", "29 %", "–"]
    assert [format_speed(rate) for rate in (6.2, 0.32, 250.0, 0.999, 0.0, None)] == [
        "6.2 it/s", "3.1 s/it", "250 it/s", "1.0 it/s", "–", "–",
    ]  # fmt: skip
