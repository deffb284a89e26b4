"""From a run's folder to a training that is ready for its first step: base, data, adapter, optimizer, stored state.

What is slow is done once: the text encoders and the VAE are loaded only for what the cache lacks, and are gone again
before the UNet is loaded. Text encoders that are trained are loaded anew, to stay.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch

from engine.checkpoint.load import StoredCheckpoint, load_checkpoint, load_tensors
from engine.data.batches import TrainingSet
from engine.data.prepare import prepare
from engine.model.adapter import add_lora
from engine.model.conditioning import TextRules
from engine.model.encoders import BaseEncoders
from engine.model.open_base import Base, names_of, open_base
from engine.model.stored_weights import EIGHT_BITS, store_in_eight_bits
from engine.model.trained_prediction import effective_prediction
from engine.model.vae import vae_dtype, vae_format_explained
from engine.profile.load import read_snapshot
from engine.profile.schema import Dataset, Loss, Profile, Source
from engine.routes.route import Route
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.records import Parent, RunRecord
from engine.schedule import Schedule
from engine.train import rng
from engine.train.checkpointing import checkpoint_activations
from engine.train.compilation import compile_blocks, require_compiler
from engine.train.compute import DTYPES, Compute, set_up_compute
from engine.train.crew import Place
from engine.train.ema import WeightAverage
from engine.train.held_out import HeldOut, choose_held_out, order_without
from engine.train.objective.loss import Objective
from engine.train.objective.process import Process
from engine.train.optimizer import NamedOptimizer, ParameterGroup
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from engine.train.resume import changed_surroundings, restore, settle
from engine.train.sampler import prompts_of
from engine.train.start_weights import start_from_file
from engine.train.text_conditioning import TextConditioning
from engine.train.training import Origin, Training, versions

log = logging.getLogger(__name__)


class StopBeforeTraining(Exception):  # noqa: N818 - a request that was met, not an error
    """The run was asked to stop before its first step."""


def assemble(
    run: RunDirectory,
    attempt: int,
    checkpoint: Path | None,
    reporter: Reporter,
    requests: Requests,
    *,
    place: Place | None = None,
    keep_stored: bool = False,
) -> Training:
    """Everything of ``run`` in memory, restored from ``checkpoint`` if there is one; a child's from what it was given.

    place: this process's among several that do the same; rank 0 fills the cache, then the others read it. keep_stored:
    whether it was agreed that stored values win over edited ones where a resume restores them. Raises a ``UserError`` for
    whatever a person can mend, ``StopBeforeTraining`` or ``PreparationStopped`` if asked to stop.
    """
    profile = read_snapshot(run.profile_of(attempt))
    stored, route = _stored_state(run, checkpoint)
    warnings: list[str] = []
    if stored is not None:
        profile, warnings = settle(stored, profile, route=route, keep_stored=keep_stored)
    schedule = stored.summary.schedule if stored and route is Route.RESUME else schedule_of(profile)
    base = open_base(profile.model.base, profile.model.vae)
    prediction = effective_prediction(base.prediction, profile.loss)  # refused, if it is, before anything is prepared
    compute = set_up_compute(profile, model_bytes=base.unet_bytes, place=place)
    reporter.started(
        step=stored.summary.step if stored and route.keeps_step else 0,
        total_steps=schedule.total_steps,
        device=compute.label,
        versions=versions(),
    )
    reporter.base(profile.model.base, prediction)
    if profile.launch.compile:
        require_compiler(compute.device)
    if compute.exchange.rank:
        compute.exchange.order()  # the data is ready
    data, held_out = _prepare_data(run, profile, base=base, compute=compute, reporter=reporter, requests=requests)
    if compute.exchange.rank == 0:
        compute.exchange.data_is_ready()
    reporter.state("starting")
    origin = Origin(run.id, attempt, _digest(run.profile_of(attempt)))
    training = _build(origin, profile, schedule, base=base, compute=compute, data=data, held_out=held_out)
    if profile.launch.compile:
        compile_blocks(training.unet, profile.network, lambda what: reporter.warning(what, "launch.compile"))
    if stored is not None:
        warnings += changed_surroundings(stored, training)
        warnings += restore(training, stored, route)
        if route is Route.RESUME:
            reporter.resumed(stored.folder.name, stored.summary.step)
    else:
        warnings += _start_weights(run, training)
    if checkpoint is None:
        _say_where_from(run, reporter)
    if training.ema is not None and stored is None:
        training.ema.restart()  # with the weights the training really starts from
    for warning in warnings:
        reporter.warning(warning, str(run.profile))
    if requests.should_stop():
        raise StopBeforeTraining
    return training


def _start_weights(run: RunDirectory, training: Training) -> tuple[str, ...]:
    """Put in the weights that a training without a stored state starts from, if any are named; what to warn of."""
    if run.start_weights.exists():
        training.adapter.load_state_dict(load_tensors(run.start_weights))
        return ()
    named = training.profile.network.start_from
    file = run.start_lora if run.start_lora.exists() else Path(named) if named is not None else None
    return () if file is None else tuple(start_from_file(training.adapter, file, names_of(training.base)))


def _say_where_from(run: RunDirectory, reporter: Reporter) -> None:
    """Of a run that began with something: whose checkpoint or which file that was."""
    record = RunRecord.read(run.record)
    if record is not None and record.parent is not None:
        reporter.continued(record.parent)
    elif record is not None and record.origin is not None:
        reporter.started_from(record.origin)


def _stored_state(run: RunDirectory, checkpoint: Path | None) -> tuple[StoredCheckpoint | None, Route]:
    """The state to go on with and the route to it: the run's own checkpoint, or its parent's that it was given."""
    if checkpoint is not None:
        return load_checkpoint(checkpoint), Route.RESUME
    parent = parent_of(run)
    if parent is None or not run.start_checkpoint.is_dir():
        return None, Route.CONTINUE
    try:
        route = Route(parent.route)
    except ValueError:
        what = f"it goes on from its parent by {parent.route!r}, which this version does not know"
        raise RunError(what, where=run.id, hint="Update sdxl-tui to train it.") from None
    return load_checkpoint(run.start_checkpoint), route


def schedule_of(profile: Profile) -> Schedule:
    """The learning-rate schedule that a profile asks for."""
    return profile.schedule.over(profile.training.steps)


def text_rules(profile: Profile) -> TextRules:
    """How captions and prompts are read."""
    return TextRules(profile.captions.max_tokens, profile.captions.weights)


def _prepare_data(
    run: RunDirectory,
    profile: Profile,
    *,
    base: Base,
    compute: Compute,
    reporter: Reporter,
    requests: Requests,
) -> tuple[TrainingSet, HeldOut]:
    """What is trained on, and what is held out of it or lies in folders of its own to be measured."""
    reporter.state("caching")
    if news := vae_format_explained(base.configs.vae, compute.dtype, compute.device):
        log.info(news)
    data = _prepared(run, profile, profile.dataset, base=base, compute=compute, reporter=reporter, requests=requests)
    reporter.dataset(data.report(whole_batch(profile), profile.training.gradient_accumulation))
    chosen = choose_held_out(data, profile.validation.share, profile.validation.seed)
    parts = [(data, chosen)] if chosen else []
    if profile.validation.folders:
        sources = tuple(Source(path=folder) for folder in profile.validation.folders)
        dataset = profile.dataset.model_copy(update={"sources": sources})
        measured = _prepared(
            run, profile, dataset, base=base, compute=compute, reporter=reporter, requests=requests, by_chance=False
        )
        parts.append((measured, frozenset(range(len(measured)))))
    held_out = HeldOut(tuple(parts))
    if len(held_out):
        reporter.held_out(len(held_out), of_the_data=len(chosen))
    return data, held_out


def _prepared(
    run: RunDirectory,
    profile: Profile,
    dataset: Dataset,
    *,
    base: Base,
    compute: Compute,
    reporter: Reporter,
    requests: Requests,
    by_chance: bool = True,
) -> TrainingSet:
    vae_format = base.configs.vae, compute.dtype, compute.device
    data = prepare(
        dataset,
        run.cache,
        BaseEncoders(base, compute.device, text_rules(profile), vae_dtype=vae_dtype(*vae_format)),
        captions=profile.captions,
        by_chance=by_chance,
        prompts=prompts_of(profile.samples),
        encode_text=not profile.network.trains_text,
        report=reporter.preparing,
        should_stop=requests.should_stop,
        warn=reporter.warning,
    )
    for cached in data.cached:
        reporter.cached(cached)
    return data


def _build(
    origin: Origin,
    profile: Profile,
    schedule: Schedule,
    *,
    base: Base,
    compute: Compute,
    data: TrainingSet,
    held_out: HeldOut,
) -> Training:
    unet = base_unet(base, profile, compute)
    seed = profile.training.seed
    text = None
    if profile.network.trains_text:
        encoders = base.text_encoders(compute.dtype, compute.device)
        text = TextConditioning(base.tokenizers(), encoders, text_rules(profile))
    adapter = add_lora(
        unet,
        profile.network,
        seed=rng.derived_seed(seed, "adapter"),
        text_encoders=None if text is None else text.encoders,
    )
    if profile.training.gradient_checkpointing:
        checkpoint_activations(unet, () if text is None else text.encoders)
    groups = [
        ParameterGroup(name, profile.optimizer.lr_of(name), parameters) for name, parameters in adapter.groups().items()
    ]
    optimizer = NamedOptimizer(groups, profile.optimizer.hyperparameters(), profile.optimizer.kind)
    # Loading models may draw random numbers, and how much is loaded depends on the cache: seed after it.
    rng.seed_everything(rng.derived_seed(seed, "training"))
    return Training(
        origin=origin,
        profile=profile,
        base=base,
        compute=compute,
        unet=unet,
        adapter=adapter,
        optimizer=optimizer,
        schedule=schedule,
        data=data,
        order=order_without(data, held_out.of(data), whole_batch(profile), seed),
        held_out=held_out,
        ema=None if profile.ema.decay is None else WeightAverage(adapter.parameters(), profile.ema),
        objective=objective_of(base, profile.loss, compute.device),
        noise=rng.noise_generator(seed),
        text=text,
    )


def objective_of(base: Base, settings: Loss, device: torch.device) -> Objective:
    """The loss of ``settings`` over the forward process of ``base``. Raises ``ObjectiveError`` if they do not fit."""
    prediction = effective_prediction(base.prediction, settings)
    return Objective(Process(base.noise_scheduler(prediction).alphas_cumprod, prediction, device), settings, device)


def base_unet(base: Base, profile: Profile, compute: Compute) -> torch.nn.Module:
    """The frozen UNet with its weights kept as ``precision.base`` says."""
    kept = profile.precision.base
    in_eight_bits = kept in EIGHT_BITS
    dtype = compute.dtype if kept == "as compute" or in_eight_bits else DTYPES[kept]
    unet: torch.nn.Module = base.unet(dtype, compute.device)
    if in_eight_bits:
        store_in_eight_bits(unet, kept)
    return unet


def whole_batch(profile: Profile) -> int:
    """Images that all processes together take in one forward pass."""
    return profile.training.batch_size * profile.launch.processes


def parent_of(run: RunDirectory) -> Parent | None:
    """The checkpoint that a child run comes from."""
    record = RunRecord.read(run.record)
    return record.parent if record else None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
