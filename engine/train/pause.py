"""Waiting while a run is paused: the GPU's memory is given back, commands are still heard, and nothing of the state is lost.

A pause lies between two steps. What was trained is saved first, since who pauses a run may switch the machine off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from engine.train.meter import StepMeter
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from engine.train.saver import Saver
from engine.train.training import Training

LOOK_SECONDS: Final = 0.25


def wait_while_paused(
    training: Training,
    meter: StepMeter,
    saver: Saver,
    reporter: Reporter,
    *,
    requests: Requests,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the run is to go on or to stop. Saves that are asked for are made; samples and validations wait."""
    began, step = time.monotonic(), training.progress.step
    meter.flush()
    saver.save_now("pause")
    training.compute.exchange.pause(begins=True)
    move_for_pause(training, begins=True)
    reporter.paused(step)
    while not requests.should_stop(step):
        if not requests.is_paused and _is_back(training, reporter):
            training.compute.exchange.pause(begins=False)
            reporter.unpaused(step, time.monotonic() - began)
            return
        if requests.saves:
            saver.save_now("command")
            reporter.state("paused")
        reporter.heartbeat()
        sleep(LOOK_SECONDS)


def _is_back(training: Training, reporter: Reporter) -> bool:
    """Put everything back on the GPU; False, with everything on the host again, while there is no room for it."""
    try:
        move_for_pause(training, begins=False)
    except torch.OutOfMemoryError:
        move_for_pause(training, begins=True)
        reporter.waiting_for_memory()
        return False
    return True


def move_for_pause(training: Training, *, begins: bool) -> None:
    """Give the GPU's memory back as a pause begins, or take it again as it ends; nothing happens on a CPU."""
    device = training.compute.device
    if device.type != "cuda":
        return
    move(training, torch.device("cpu") if begins else device)
    if begins:
        torch.cuda.empty_cache()


def move(training: Training, device: torch.device) -> None:
    """Put models, adapter, optimizer state and average on ``device``. Parameters stay the same objects, values the same bits."""
    for model in training.adapter.models.values():
        model.to(device)
    for state in training.optimizer.inner.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor):
                state[name] = value.to(device)
    if training.ema is not None:
        training.ema.to(device)
