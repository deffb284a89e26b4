"""What is asked of a running engine, by signal or by a command file, and whether it is due. Torch-free.

Signal handlers only note the signal. Everything is acted on between two optimizer steps, between two items of a
preparation or between two sample pictures.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.run.commands import Command, CommandBox

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Answer(Protocol):
    """Receives the fields of each ``command`` event."""

    def __call__(self, *, id: str, command: str, ok: bool, message: str) -> None:
        """The request ``id`` was followed, or why not."""


@dataclass(frozen=True)
class StopRequest:
    """The wish to end the run."""

    reason: str
    """``command``, ``SIGTERM`` or ``SIGINT``."""
    save: bool = True
    at_step: int | None = None
    """Not before this many optimizer steps are done; None: at once."""


class Requests:
    """Collects signals and commands. ``poll`` looks; the waiting requests are then in the attributes."""

    def __init__(self) -> None:
        """Nothing was asked yet, and there is no folder of commands to look into."""
        self.stop: StopRequest | None = None
        self.saves: list[Command] = []
        self.samples: list[Command] = []
        self.validations: list[Command] = []
        self.scales: list[Command] = []
        self.is_paused = False
        """No step is to be made until further notice."""
        self._signal: str | None = None
        self._box: CommandBox | None = None
        self._answer: Answer | None = None
        self._on_stop: Callable[[StopRequest], None] | None = None
        self._announced = False
        self._answered: set[str] = set()

    def listen_to_signals(self) -> None:
        """Take SIGTERM and SIGINT as requests to stop from now on."""
        for number in SIGNALS:
            signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, _frame: object) -> None:
        self._signal = self._signal or signal.Signals(number).name

    def open_box(self, box: CommandBox, answer: Answer, on_stop: Callable[[StopRequest], None]) -> None:
        """Look into ``box`` from now on; ``answer`` hears of every command, ``on_stop`` once, when a stop is due."""
        self._box, self._answer, self._on_stop = box, answer, on_stop

    def poll(self, step: int) -> None:
        """Look for new requests after ``step`` optimizer steps. Costs some microseconds when there is none."""
        asked_by_signal = self._signal  # read first: whoever sends a signal has written the command before it
        for command in self._box.poll() if self._box else ():
            self._take(command, step)
        if asked_by_signal is not None:
            self._ask_to_stop(StopRequest(asked_by_signal))
        if self.stop is not None and self.stop_is_due(step) and self._on_stop is not None and not self._announced:
            self._announced = True
            self._on_stop(self.stop)

    def stop_is_due(self, step: int) -> bool:
        """Whether to stop now that ``step`` optimizer steps are done. Does not look for new requests."""
        return self.stop is not None and (self.stop.at_step is None or step >= self.stop.at_step)

    def should_stop(self, step: int = 0) -> bool:
        """Look, then say whether a stop is due: for everything that is done before and between the steps."""
        self.poll(step)
        return self.stop_is_due(step)

    def answer(self, command: Command, ok: bool, message: str = "") -> None:
        """Remove the request and report on it; from then on it is not waiting, whether or not its file could be removed."""
        self._answered.add(command.id)
        self.saves = [other for other in self.saves if other.id != command.id]
        self.samples = [other for other in self.samples if other.id != command.id]
        self.validations = [other for other in self.validations if other.id != command.id]
        self.scales = [other for other in self.scales if other.id != command.id]
        if self._box is not None and self._answer is not None:
            self._answer(**self._box.acknowledge(command, ok, message))

    def decline_waiting(self, message: str) -> None:
        """Answer everything that was asked and not followed, at the end."""
        for command in (*self.saves, *self.samples, *self.validations, *self.scales):
            self.answer(command, False, message)

    def _take(self, command: Command, step: int) -> None:
        if command.id in self._answered:
            return
        if command.problem is not None:
            self.answer(command, False, command.problem)
        elif command.command == "stop":
            self._take_stop(command, step)
        elif command.command in {"pause", "unpause"}:
            self._take_pause(command)
        else:
            waiting = {
                "save": self.saves,
                "sample": self.samples,
                "validate": self.validations,
                "scale_lr": self.scales,
            }[command.command]
            # A command stays in its folder until it is answered, so that a crash does not lose it unseen.
            if all(command.id != other.id for other in waiting):
                waiting.append(command)

    def _take_pause(self, command: Command) -> None:
        wanted = command.command == "pause"
        if wanted == self.is_paused:
            self.answer(command, False, "it is paused already" if wanted else "it is not paused")
            return
        self.is_paused = wanted
        self.answer(command, True, "pausing" if wanted else "going on")

    def _take_stop(self, command: Command, step: int) -> None:
        save, at_step = command.arguments.get("save", True), command.arguments.get("at_step")
        if not isinstance(save, bool) or not (at_step is None or _is_count(at_step)):
            self.answer(command, False, "save must be true or false, at_step a number of steps")
            return
        at_step = None if at_step is None or at_step <= step else at_step
        self.answer(command, True, "stopping" if at_step is None else f"will stop at step {at_step}")
        self._ask_to_stop(StopRequest("command", save, at_step))

    def _ask_to_stop(self, request: StopRequest) -> None:
        """A wish for now replaces one for later, and a wish for later an earlier one; a stop that is due stays."""
        if self.stop is None or self.stop.at_step is not None:
            self.stop = request


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
