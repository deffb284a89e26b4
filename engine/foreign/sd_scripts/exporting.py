"""A profile in sd-scripts' words, as far as they go: a config_file, its dataset_config and the file of prompts."""

from __future__ import annotations

from typing import Any, Final

from engine.demo import locate
from engine.foreign.sd_scripts.exported import Export, Exported
from engine.foreign.sd_scripts.from_data import export_data, export_samples
from engine.foreign.sd_scripts.from_network import export_network, export_optimizer, export_schedule
from engine.foreign.sd_scripts.option import Option
from engine.foreign.sd_scripts.table import SD_SCRIPTS
from engine.profile.fields import OF_A_FILE
from engine.profile.load import is_hub_name
from engine.profile.schema import Profile

_REASONS: Final = {
    "ema": "it keeps no average of the weights",
    "checkpoints.every_minutes": "it saves by steps and epochs, not by time",
    "schedule": "not a setting of the scheduler that is written",
    "schedule.tail_steps": "its curve takes all steps",
    "launch.processes": "told to accelerate: accelerate launch --num_processes N",
    "launch.device": "told to accelerate",
    "dataset.background": "it shows the colours under the transparency",
    "dataset.smallest_image": "its skip_image_resolution goes by the area",
    "samples.guidance_rescale": "its samples are not rescaled",
    "validation.folders": "it splits held-out images off the training's",
    "training": "it does not look for a loss that is not finite",
    "loss.timestep_distribution": "its SDXL training draws timesteps evenly",
    "precision.base": "the base has the format of mixed_precision there, or fp8",
}


def export_profile(profile: Profile) -> Exported:
    """sd-scripts' options for ``profile`` (absolute paths), with every field named that they do not express."""
    e = Export(profile, profile.values())
    _model(e)
    export_network(e)
    export_optimizer(e)
    _direct(e)
    _training(e)
    export_schedule(e)
    _loss(e)
    datasets = export_data(e)
    prompts = export_samples(e)
    _logging(e)
    e.done("schema", "name", *OF_A_FILE)
    e.leave("checkpoints.every_minutes", _REASONS["checkpoints.every_minutes"])
    e.leave_the_rest(_REASONS)
    return Exported(dict(e.options), datasets, prompts, tuple(e.left_out), tuple(e.remarks))


def _model(e: Export) -> None:
    model = e.profile.model
    for option, path, written in (("pretrained_model_name_or_path", "base", model.base), ("vae", "vae", model.vae)):
        place = written if written is None or is_hub_name(written, locate(".")) else str(locate(written))
        e.say(option, place, f"model.{path}")
    e.say("output_name", e.profile.name, "name")
    if e.values["loss.prediction"] == "v_prediction":
        e.say("v_parameterization", True)
    if e.values["loss.prediction"] == "auto":
        e.remarks.append("It does not look at what a base predicts: add v_parameterization for a v-prediction base.")
    e.done("loss.prediction")


def _direct(e: Export) -> None:
    for option in SD_SCRIPTS.values():
        if not option.is_direct:
            continue
        path = option.fields[0]
        value = _word(option, e.values[path])
        asks = (
            value is not None and value != option.default and not (option.default is None and value in (0, False, 75))
        )
        e.say(option.name, value if asks else None, path)


def _word(option: Option, value: Any) -> Any:
    """The option's value for the field's."""
    if option.words is None:
        return value
    word = next((word for word, ours in option.words.items() if ours == value), None)
    return {"true": True, "false": False}.get(word or "", word)


def _training(e: Export) -> None:
    profile = e.profile
    e.say("max_train_steps", profile.training.steps, "training.steps")
    e.say("seed", profile.training.seed, "training.seed")
    if profile.precision.base == "fp8":
        e.say("fp8_base", True, "precision.base")
    checkpoints = profile.checkpoints
    if checkpoints.every_steps:
        e.say("save_every_n_steps", checkpoints.every_steps, "checkpoints.every_steps")
        if checkpoints.keep_last:
            e.say("save_last_n_steps", (checkpoints.keep_last - 1) * checkpoints.every_steps, "checkpoints.keep_last")
    else:
        e.done("checkpoints.every_steps")
    e.say("save_state", True)
    validation = profile.validation
    if validation.share:
        if validation.every_steps:
            e.say("validate_every_n_steps", validation.every_steps, "validation.every_steps")
        else:
            e.leave("validation.every_steps", "it measures after each epoch then, not at the end alone")
        e.say("validation_seed", validation.seed, "validation.seed")
    for name in ("sdpa", "no_half_vae"):
        e.say(name, True)
    if not e.values["dataset.random_crops"] and not any(source.random_crops for source in profile.dataset.sources):
        e.say("cache_latents", True)
    if profile.launch.processes > 1 and profile.schedule.warmup_steps:
        e.remarks.append("With N processes its warmup counts N for each step.")


def _loss(e: Export) -> None:
    loss = e.profile.loss
    if loss.kind in ("huber", "smooth_l1"):
        e.say("huber_c", loss.delta, "loss.delta")
        e.say("huber_scale", loss.delta_scale, "loss.delta_scale")
        e.say("huber_schedule", loss.delta_schedule.value, "loss.delta_schedule")
    e.say("noise_offset_random_strength", loss.noise_offset_random or None, "loss.noise_offset_random")
    e.say("adaptive_noise_scale", loss.adaptive_noise_scale or None, "loss.adaptive_noise_scale")
    if loss.multires_iterations:
        e.say("multires_noise_discount", loss.multires_discount, "loss.multires_discount")
    e.say("ip_noise_gamma_random_strength", loss.input_perturbation_random or None, "loss.input_perturbation_random")
    e.say("max_timestep", loss.max_timestep, "loss.max_timestep")


def _logging(e: Export) -> None:
    trackers = e.profile.logging.trackers
    if not trackers:
        e.done("logging.trackers", "logging.project")
        return
    e.say("log_with", "all" if len(set(trackers)) > 1 else trackers[0], "logging.trackers")
    e.say("logging_dir", "logs")
    if "wandb" in trackers:
        e.say("log_tracker_name", e.profile.logging.project)
    e.done("logging.project")
