"""What happens when a loss or gradient is NaN or infinite: the run stops, or, if the profile says so, drops the step.

A dropped step is made in every respect but one: data, noise and schedule move on, and neither weights nor optimizer nor their
average change. How many were dropped in a row is part of the state, so that a resume gives up where a straight run would.
"""

from __future__ import annotations

from engine.train.training import Training


def drops_step(training: Training, is_finite: bool) -> bool:
    """Whether the step at hand is to be dropped, and take note of it. With a loss scaler (fp16) the scaler does that itself."""
    if is_finite:
        training.progress.dropped_in_a_row = 0
        return False
    training.progress.dropped_in_a_row += 1
    training.progress.dropped += 1
    return training.compute.scaler is None
