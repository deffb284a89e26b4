"""The training loop, to be read from top to bottom like the algorithm.

Algorithm 1 of Ho et al. 2020 on latents, with gradient accumulation, clipping and a learning rate that is a pure function
of the step. Between two steps: commands, checkpoints, samples, and the end.
"""

from __future__ import annotations

import time
from enum import StrEnum

import torch
from torch import Tensor

from engine.data.batches import Batch
from engine.train.divergence import drops_step
from engine.train.exchange import Share
from engine.train.meter import StepMeter, StepResult
from engine.train.objective.loss import Draw
from engine.train.pause import move_for_pause, wait_while_paused
from engine.train.rate_scaling import scale_rates
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from engine.train.rng import seed_process
from engine.train.sampler import Sampler
from engine.train.saver import Saver
from engine.train.training import Training
from engine.train.transfer import batch_to_device
from engine.train.validator import Validator


class Outcome(StrEnum):
    """How the loop ended."""

    FINISHED = "finished"
    STOPPED = "stopped"


def train(
    training: Training,
    meter: StepMeter,
    saver: Saver,
    sampler: Sampler,
    validator: Validator,
    *,
    requests: Requests,
    reporter: Reporter,
) -> Outcome:
    """Train until the last step of the schedule or until asked to stop; validate, save and draw samples on the way."""
    training.adapter.train()
    _validate_if_due(training, meter, validator, saver, requests)  # the base; after a resume what a stop had forgone
    if training.progress.step == 0:
        _sample_if_due(training, meter, sampler, saver, requests)
    while not training.is_finished:
        if requests.should_stop(training.progress.step):
            return _stop(meter, saver, requests)
        if requests.is_paused:
            wait_while_paused(training, meter, saver, reporter, requests=requests)
            continue
        scale_rates(training, requests, reporter)
        meter.step_dispatched(optimizer_step(training))
        requests.poll(training.progress.step)
        if training.is_finished or requests.stop_is_due(training.progress.step):
            continue
        _validate_if_due(
            training, meter, validator, saver, requests
        )  # first: a checkpoint holds the loss of its own step
        saver.look()
        _sample_if_due(training, meter, sampler, saver, requests)
    return _finish(training, meter, saver, sampler, validator, requests=requests)


def follow(training: Training) -> None:
    """Make every step that rank 0 announces, in one of the processes that train beside it; free the GPU in a pause."""
    training.adapter.train()
    exchange = training.compute.exchange
    while order := exchange.order():
        if "pause" in order:
            move_for_pause(training, begins=order["pause"])
            continue
        seed_process(training.profile.training.seed, exchange.rank, training.progress.step)
        optimizer_step(training, order["rates"])
    exchange.leave()


def optimizer_step(training: Training, announced: dict[str, float] | None = None) -> StepResult:
    """One optimizer step: the gradients of its micro-batches averaged, clipped, applied at the schedule's rates.

    announced: the rates by group as rank 0 has said them; None in rank 0, which says them here.
    """
    began = time.monotonic()
    settings, accelerator = training.profile.training, training.compute.accelerator
    rates = training.rates() if announced is None else announced
    if announced is None:
        training.compute.exchange.announce(rates)
    losses, images = [], 0
    for _ in range(settings.gradient_accumulation):
        batch = training.next_batch()
        draw = training.objective.draw(batch.latents, training.noise)
        share = training.compute.exchange.share(len(batch.latents))
        with accelerator.accumulate(training.unet):
            losses.append(_backward(training, share, batch, draw))
        images += share.total
    loss = training.compute.exchange.sum_up(training.optimizer.parameters, _mean(losses))
    accelerator.unscale_gradients(training.optimizer.inner)
    grad_norm = clip_gradients(training.optimizer.parameters, settings.max_grad_norm)
    training.optimizer.set_lr(rates)
    used, d = training.optimizer.effective(rates), training.optimizer.d
    dropped = settings.on_nonfinite == "skip" and drops_step(training, _is_finite(loss, grad_norm))
    if not dropped:
        _apply(training)
    training.optimizer.inner.zero_grad(set_to_none=True)
    training.progress.step += 1
    training.progress.images_seen += images
    progress, epoch = training.progress, training.epoch
    return StepResult(progress.step, epoch, used, loss, grad_norm, images, began, d, progress.dropped_in_a_row)


def _backward(training: Training, share: Share, batch: Batch, draw: Draw) -> Tensor:
    """Add the gradients of this process's share of a batch; what the share adds to the loss of the whole, a scalar."""
    compute = training.compute
    if not share.count:
        nothing = torch.zeros((), device=compute.device)
        # A scaler that has scaled nothing yet refuses to unscale the sum.
        return nothing if compute.scaler is None else compute.scaler.scale(nothing) * 0
    own = batch_to_device(share.of(batch), compute.device)
    own_draw = share.of(draw).on(compute.device)
    with compute.accelerator.autocast():
        conditioned = training.conditioned(own, batch.captions)
        loss = training.objective.loss(training.unet, conditioned, own_draw, dtype=compute.dtype)
    if share.count < share.total:
        loss = loss * share.weight
    compute.accelerator.backward(loss)  # divides by the number of micro-batches
    return loss.detach()


def _mean(losses: list[Tensor]) -> Tensor:
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def _apply(training: Training) -> None:
    """The optimizer's step. In fp16 the scaler leaves it out if a gradient has overflowed, and adapts its scale."""
    optimizer, scaler = training.optimizer.inner, training.compute.scaler
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    limit = training.profile.network.scale_weight_norms
    if limit is not None:
        training.adapter.limit_norms(limit)
    if training.ema is not None:
        training.ema.update()


def _is_finite(loss: Tensor, grad_norm: Tensor) -> bool:
    """Waits for the device."""
    return bool(torch.isfinite(loss) & torch.isfinite(grad_norm))


def clip_gradients(parameters: list[torch.nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients down to a common norm of at most ``max_norm`` (0: leave them); the norm before, a scalar."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
    if max_norm > 0:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm, foreach=True)
    return norm


def _sample_if_due(training: Training, meter: StepMeter, sampler: Sampler, saver: Saver, requests: Requests) -> None:
    asked = tuple(requests.samples)  # those that come while the pictures are drawn wait for the next step
    failure = None if sampler.has_prompts else "the profile has no prompts (samples.prompts)"
    if sampler.has_prompts and (asked or sampler.is_due()):
        meter.flush()
        failure = sampler.draw(lambda: _is_interrupted(training, saver, requests))
    for command in asked:
        requests.answer(command, failure is None, failure or "drawn")


def _validate_if_due(
    training: Training, meter: StepMeter, validator: Validator, saver: Saver, requests: Requests
) -> None:
    asked = tuple(requests.validations)
    failure = None if validator.has_images else "the profile holds no images out (validation.folders, validation.share)"
    if validator.has_images and (asked or validator.is_due()):
        meter.flush()
        failure = validator.validate(lambda: _is_interrupted(training, saver, requests))
    for command in asked:
        requests.answer(command, failure is None, failure or "validated")


def _is_interrupted(training: Training, saver: Saver, requests: Requests) -> bool:
    """Whether to leave off between two pictures; a save that has ended meanwhile is reported."""
    saver.report()
    return requests.should_stop(training.progress.step)


def _stop(meter: StepMeter, saver: Saver, requests: Requests) -> Outcome:
    """End before the last step. What was done since the last checkpoint is saved, unless the request says not to."""
    meter.flush()
    if requests.stop is None or requests.stop.save:
        saver.save_last("stop", give_up=lambda: False)
    return Outcome.STOPPED


def _finish(
    training: Training, meter: StepMeter, saver: Saver, sampler: Sampler, validator: Validator, *, requests: Requests
) -> Outcome:
    """The last checkpoint, then the last samples; who asks to stop now only forgoes those."""
    meter.flush()
    _validate_if_due(training, meter, validator, saver, requests)
    saver.save_last("finish", give_up=lambda: requests.should_stop(training.progress.step))
    if not requests.should_stop(training.progress.step):
        _sample_if_due(training, meter, sampler, saver, requests)
    return Outcome.FINISHED
