"""Looking again and again costs a bounded share, of the processor and of a slow disk."""

from __future__ import annotations

import time

from sdxl_tui.fleet.watch import Pace


def test_what_is_cheap_is_done_as_often_as_was_asked() -> None:
    pace = Pace()
    with pace:
        pass
    assert pace.rest(1.0) == 1.0


def test_what_takes_the_processor_is_done_less_often() -> None:
    pace = Pace()
    with pace:
        until = time.thread_time() + 0.06
        while time.thread_time() < until:
            pass
    assert 2.4 <= pace.rest(1.0) <= 15.0


def test_what_waits_for_a_disk_leaves_it_time_and_is_never_put_off_for_long() -> None:
    pace = Pace()
    with pace:
        time.sleep(0.2)
    assert 0.4 <= pace.rest(0.1) <= 2.0
    pace._passed = 3600.0
    assert pace.rest(1.0) == 15.0
