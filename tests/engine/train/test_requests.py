"""Signals and command files become requests; which one counts, and when it is due."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from engine.run.commands import CommandBox, send_command
from engine.run.layout import RunDirectory
from engine.train.requests import Requests, StopRequest


class Listener:
    """Requests of a run, with what was answered and announced."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDirectory(folder)
        self.answers: list[dict[str, Any]] = []
        self.stops: list[StopRequest] = []
        self.requests = Requests()
        self.requests.open_box(CommandBox(self.run), lambda **answer: self.answers.append(answer), self.stops.append)


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    """A run without requests."""
    return Listener(tmp_path)


def test_nothing_asked_is_nothing_due(listener: Listener) -> None:
    assert not listener.requests.should_stop(10**6)
    assert (listener.answers, listener.stops) == ([], [])


def test_a_signal_is_only_noted_until_the_next_look(listener: Listener) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    listener.requests.listen_to_signals()
    try:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert not listener.requests.stop_is_due(5)
    assert listener.requests.should_stop(5)
    assert listener.requests.stop == StopRequest("SIGINT"), "the first one names the reason"
    listener.requests.poll(6)
    assert listener.stops == [StopRequest("SIGINT")], "announced once"


def test_a_stop_for_later_is_due_then(listener: Listener) -> None:
    send_command(listener.run, "stop", at_step=7, save=False)
    assert [listener.requests.should_stop(step) for step in (5, 6)] == [False, False]
    assert listener.stops == []
    assert listener.requests.should_stop(7)
    assert listener.stops == [StopRequest("command", save=False, at_step=7)]


def test_a_stop_for_a_step_that_is_done_is_due_at_once(listener: Listener) -> None:
    send_command(listener.run, "stop", at_step=3)
    assert listener.requests.should_stop(5)
    assert listener.answers[0]["message"] == "stopping"


def test_a_stop_for_now_replaces_one_for_later_and_not_the_other_way_round(listener: Listener) -> None:
    send_command(listener.run, "stop", at_step=50)
    send_command(listener.run, "stop")
    send_command(listener.run, "stop", at_step=70)
    assert listener.requests.should_stop(5)
    assert listener.requests.stop == StopRequest("command")


def test_a_later_wish_for_another_step_counts(listener: Listener) -> None:
    send_command(listener.run, "stop", at_step=50)
    listener.requests.poll(5)
    send_command(listener.run, "stop", at_step=70)
    assert not listener.requests.should_stop(50)
    assert listener.requests.should_stop(70)


@pytest.mark.parametrize(
    "arguments", [{"save": 1}, {"at_step": True}, {"at_step": -1}, {"at_step": "7"}, {"at_step": 1.5}]
)
def test_a_stop_with_senseless_arguments_is_answered_and_not_followed(
    listener: Listener, arguments: dict[str, Any]
) -> None:
    send_command(listener.run, "stop", **arguments)
    assert not listener.requests.should_stop(10**6)
    assert [answer["ok"] for answer in listener.answers] == [False]
    assert list(listener.run.commands.iterdir()) == []


def test_a_command_waits_in_its_folder_until_it_is_answered(listener: Listener) -> None:
    send_command(listener.run, "save")
    listener.requests.poll(1)
    listener.requests.poll(2)
    (command,) = listener.requests.saves
    assert command.path.exists()
    listener.requests.answer(command, True, "saved")
    listener.requests.poll(3)
    assert listener.requests.saves == []
    assert not command.path.exists()
    assert [answer["message"] for answer in listener.answers] == ["saved"]


def test_a_command_whose_file_cannot_be_removed_is_followed_once(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    send_command(listener.run, "sample")
    listener.requests.poll(1)
    listener.requests.answer(listener.requests.samples[0], True)
    listener.requests.poll(2)
    assert listener.requests.samples == []
    assert len(listener.answers) == 1


def test_what_is_still_waiting_at_the_end_is_declined(listener: Listener) -> None:
    send_command(listener.run, "save")
    send_command(listener.run, "sample")
    listener.requests.poll(1)
    listener.requests.decline_waiting("the run has ended")
    assert {(answer["command"], answer["ok"]) for answer in listener.answers} == {("save", False), ("sample", False)}
