"""Events in words, also those that lack what they should have."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_tui.widgets.event_text import event_text

ESTIMATE: dict[str, Any] = {
    "event": "estimate",
    "memory": {"base": 1, "total": 28_705_296},
    "disk": {"total": 23_890_048, "free": 1},
    "seconds": 90.0,
}
RESULT: dict[str, Any] = {
    "event": "estimate_result",
    "memory": {"estimated": 628_705_296, "measured": 564_383_744},
    "seconds_per_step": {"estimated": 0.5, "measured": 0.3436},
}
BASE: dict[str, Any] = {
    "event": "base",
    "prediction": "v_prediction",
    "zero_terminal_snr": True,
    "said_by": "the file's tensor v_pred",
}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ESTIMATE, "estimate: 29 MB of memory, 24 MB of disk, 1 m 30 s"),
        ({**ESTIMATE, "seconds": None}, "estimate: 29 MB of memory, 24 MB of disk, unknown time"),
        ({"event": "estimate", "memory": 3}, "estimate: – of memory, – of disk, unknown time"),
        (RESULT, "took 564 MB of 629 MB estimated; 0.344 s per step of 0.5 s"),
        ({"event": "estimate_result"}, "took – of – estimated"),
        (BASE, "the base predicts v (the file's tensor v_pred), zero terminal SNR"),
        ({"event": "base", "prediction": "\x1b[31mnew"}, "the base predicts new ()"),
        ({"event": "some\x1b[2Jthing"}, "something"),
    ],
)
def test_an_event_is_a_sentence(event: dict[str, Any], text: str) -> None:
    assert event_text(event)[0] == text
