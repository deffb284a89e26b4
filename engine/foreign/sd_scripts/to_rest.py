"""Base model, loss, precision, trackers and the sample prompts."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.foreign.sd_scripts.given import Entry
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.sample_lines import without_foreign_options
from engine.foreign.sd_scripts.to_network import profile_name
from engine.foreign.sd_scripts.to_paths import existing, local_path
from engine.foreign.sd_scripts.training_options import SAMPLERS
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_flag, as_number, as_text, as_whole, is_nothing
from engine.profile.fields import profile_field
from engine.profile.places import PLACEHOLDER

NO_BASE: Final = f"{PLACEHOLDER}sdxl-base"
MOST_LEVELS: Final = 10
"""Of multi-resolution noise."""
MAX_PROMPTS: Final = 200
_SINGLE: Final[tuple[tuple[str, str, Callable[[Any], Any]], ...]] = (
    ("negative_prompts", "samples.negative", as_text),
    ("sample_width", "samples.width", as_whole),
    ("sample_height", "samples.height", as_whole),
    ("sample_cfg", "samples.guidance", as_number),
    ("sample_seed", "samples.seed", as_whole),
    ("sample_steps", "samples.steps", as_whole),
)
_DEFAULTS: Final = {"width": ("w", 512), "height": ("h", 512), "steps": ("s", 30), "guidance": ("l", 7.5)}
"""By field: the option of a prompt, and what sd-scripts takes without it."""
_HUBER: Final = {"huber_c": ("loss.delta", 0.1), "huber_scale": ("loss.delta_scale", 1.0)}


def translate_model(t: Translation) -> None:
    """The base, its VAE, the name."""
    base = t.entry("pretrained_model_name_or_path") or t.first("model_list")
    if base is not None and as_text(base.value).strip() == "custom":
        base = None
    path = local_path(t, base, may_be_hub=True) if base is not None else None
    if base is not None and path is not None:
        t.put("model.base", path, base)
    else:
        t.values["model.base"] = NO_BASE
        t.missing.append(f"no base model is named: set model.base ({NO_BASE} stands there now)")
    vae = t.entry("vae")
    if vae is not None and (place := local_path(t, vae, may_be_hub=True)) is not None:
        t.put("model.vae", place, vae)
    name = t.entry("output_name")
    if name is not None:
        written = as_text(name.value).strip()
        used = profile_name(written)
        t.put("name", used, name, note="" if used == written else "as far as a name may hold its letters")
    else:
        t.values["name"] = profile_name(Path(t.given.origin).stem)
    if (sdxl := t.given.options.get("sdxl")) is not None:
        is_sdxl = t.read(sdxl, as_flag, True)
        note = "" if is_sdxl else "made for another base than SDXL: rates, ranks and sizes may not suit"
        t.tell(sdxl, Fate.MEANINGLESS, note=note or "as always here", warning=not is_sdxl)


def translate_loss(t: Translation) -> None:
    """What counts only with something else; the rest is direct."""
    prediction = t.entry("v_parameterization")
    if prediction is not None:
        is_v = t.read(prediction, as_flag, False)
        becomes = (("loss.prediction", "v_prediction" if is_v else "auto"),)
        t.values["loss.prediction"] = becomes[0][1]
        t.tell(prediction, Fate.TRANSLATED, becomes, "" if is_v else "auto: what the base says")
        if is_v:
            _without_zero_terminal_snr(t)
    kind = t.entry("loss_type")
    is_huber = kind is not None and as_text(kind.value) in ("huber", "smooth_l1")
    for name, (path, default) in _HUBER.items():
        entry = t.entry(name)
        if entry is None:
            continue
        value = t.read(entry, as_number, default)
        if is_huber:
            t.put(path, None if value == default else value, entry)
        else:
            t.tell(entry, Fate.MEANINGLESS, note="counts with loss_type huber or smooth_l1 alone")
    if (schedule := t.entry("huber_schedule")) is not None:
        if is_huber:
            t.put("loss.delta_schedule", as_text(schedule.value), schedule)
        else:
            t.tell(schedule, Fate.MEANINGLESS, note="counts with loss_type huber or smooth_l1 alone")
    _noise(t)
    if (highest := t.entry("max_timestep")) is not None:
        value = t.read(highest, as_whole, 1000)
        t.put("loss.max_timestep", None if value in (0, 1000) else value, highest)


def _without_zero_terminal_snr(t: Translation) -> None:
    """Of a training that says v itself, the schedule is the plain one unless the file says otherwise, whatever the base is."""
    path, option = "loss.zero_terminal_snr", "zero_terminal_snr"
    entry = t.entry(option)
    if entry is not None and not t.flag(option):
        t.put(path, "off", entry, note="auto asks the base, sd-scripts does not")
    elif entry is None and t.takes_defaults:
        t.put_default(path, "off", option, "auto asks the base, sd-scripts does not")


def _noise(t: Translation) -> None:
    offset = t.read(t.entry("noise_offset"), as_number, 0.0)
    iterations = t.entry("multires_noise_iterations")
    perturbs = t.read(t.entry("ip_noise_gamma"), as_number, 0.0)
    levels = t.read(iterations, as_whole, 0)
    for name, path, needs, is_on in (
        ("noise_offset_random_strength", "loss.noise_offset_random", "noise_offset", bool(offset)),
        ("ip_noise_gamma_random_strength", "loss.input_perturbation_random", "ip_noise_gamma", bool(perturbs)),
    ):
        if (entry := t.entry(name)) is not None:
            if is_on:
                t.put(path, t.read(entry, as_flag, False), entry)
            else:
                t.tell(entry, Fate.MEANINGLESS, note=f"counts with {needs} alone")
    if (scale := t.entry("adaptive_noise_scale")) is not None:
        if offset and (amount := t.read(scale, as_number, 0.0)):
            t.put("loss.adaptive_noise_scale", amount, scale)
        else:
            t.tell(scale, Fate.MEANINGLESS, note="counts with noise_offset alone" if not offset else "0 is off")
    if (discount := t.entry("multires_noise_discount")) is not None:
        if levels and (share := t.read(discount, as_number, 0.3)):
            t.put("loss.multires_discount", None if share == 0.3 else share, discount)
        else:
            t.tell(discount, Fate.MEANINGLESS, note="counts with multires_noise_iterations alone")
    if levels > MOST_LEVELS and iterations is not None:
        note = f"there are no more than {MOST_LEVELS} levels: the coarsest is a single value, there as here"
        t.put("loss.multires_iterations", MOST_LEVELS, iterations, note=note)
    if levels and offset and iterations is not None:
        note = "beside noise_offset, which is kept: both add coarse noise, and a profile has one of them"
        t.tell(iterations, Fate.UNSUPPORTED, note=note, warning=True)
        t.amend(t.entry("multires_noise_discount"), Fate.MEANINGLESS, "counts with multires_noise_iterations alone")
        t.values.pop("loss.multires_discount", None)


def translate_precision(t: Translation) -> None:
    """``precision.base``, and what the launcher says of precision and processes."""
    for name in ("fp8_base", "fp8_base_unet"):
        if (entry := t.entry(name)) is not None:
            is_on = t.flag(name)
            if is_on:
                t.values["precision.base"] = "fp8"
            note = "there plain fp8, here with a scale per row" if is_on else ""
            t.tell(entry, Fate.TRANSLATED, (("precision.base", "fp8" if is_on else "as compute"),), note)
    if (count := t.entry("num_processes")) is not None:
        t.put("launch.processes", t.read(count, as_whole, 1) or 1, count)
    if (seed := t.entry("seed")) is not None:
        number = t.read(seed, as_whole, 0)
        t.put("training.seed", max(0, number), seed, note="" if number >= 0 else "drawn anew there; here it is 0")
    elif t.takes_defaults:
        t.tell_default("seed", "drawn anew each time", (("training.seed", 0),))
    if (seed := t.entry("validation_seed")) is not None:
        t.put("validation.seed", abs(t.read(seed, as_whole, 0)), seed)


def translate_logging(t: Translation) -> None:
    """The trackers: with a logging_dir alone sd-scripts writes TensorBoard's files."""
    tool, folder, wandb = t.entry("log_with"), t.entry("logging_dir"), t.entry("use_wandb")
    word = as_text(tool.value).strip().lower() if tool is not None else ""
    trackers = {"all": ("tensorboard", "wandb"), "tensorboard": ("tensorboard",), "wandb": ("wandb",)}.get(word, ())
    if tool is not None and not trackers:
        t.tell(tool, Fate.UNSUPPORTED, note="the trackers are tensorboard and wandb", warning=True)
    if wandb is not None and t.flag("use_wandb"):
        trackers = (*trackers, *(["wandb"] if "wandb" not in trackers else []))
    if not trackers and folder is not None and tool is None:
        trackers = ("tensorboard",)
    if trackers:
        t.values["logging.trackers"] = trackers
    for entry in (tool, wandb):
        if entry is not None:
            t.tell(entry, Fate.TRANSLATED, (("logging.trackers", trackers),))
    if folder is not None:
        note = (
            "TensorBoard's files lie in the run's folder"
            if "tensorboard" in trackers
            else "TensorBoard is not among the trackers"
        )
        t.tell(
            folder,
            Fate.TRANSLATED if trackers and tool is None else Fate.MEANINGLESS,
            (("logging.trackers", trackers),),
            note,
        )
    if (project := t.entry("log_tracker_name")) is not None:
        if "wandb" in trackers:
            t.put("logging.project", as_text(project.value), project)
        else:
            t.tell(project, Fate.MEANINGLESS, note="counts with wandb alone")


def translate_samples(t: Translation) -> None:
    """The prompts: lines of a file, or the text itself."""
    entry = t.entry("sample_prompts")
    if entry is None and (single := t.entry("positive_prompts")) is not None:
        _single_sample(t, single)
    if entry is None:
        return
    written = as_text(entry.value).strip()
    path = existing(t, written) if "\n" not in written else None
    if path is not None and path.is_file():
        lines = _lines_of(path)
    elif "\n" not in written and Path(written).suffix.lower() in (".txt", ".toml", ".json"):
        t.tell(
            entry,
            Fate.UNSUPPORTED,
            note="the file is not on this machine: write its lines into samples.prompts",
            warning=True,
        )
        return
    else:
        lines = [line.strip() for line in written.splitlines() if line.strip() and not line.strip().startswith("#")]
    cleaned = [without_foreign_options(line) for line in lines[:MAX_PROMPTS]]
    prompts = tuple(prompt for prompt, _ in cleaned if prompt)
    left_out = sorted({option for _, options in cleaned for option in options})
    if not prompts:
        t.tell(entry, Fate.UNSUPPORTED, note="no prompt in it", warning=True)
        return
    note = f"{len(prompts)} prompts"
    if left_out:
        note += f"; without the options {', '.join(left_out)}, which are none here or have no value that can be used"
    t.put("samples.prompts", prompts, entry, note=note, warning=bool(left_out))
    _sampling(t)


def _single_sample(t: Translation, prompt: Entry) -> None:
    """The one prompt of lora-scripts, whose settings stand beside it."""
    t.put("samples.prompts", (as_text(prompt.value),), prompt)
    _sampling(t, told=False)
    for name, path, reader in _SINGLE:
        if (entry := t.entry(name)) is not None:
            t.put(path, t.read(entry, reader, profile_field(path).default), entry)


def _sampling(t: Translation, *, told: bool = True) -> None:
    """What sd-scripts takes where a prompt does not say it, and the settings of all samples."""
    prompts: tuple[str, ...] = t.values["samples.prompts"]
    lacking = {
        name: value
        for name, (option, value) in _DEFAULTS.items()
        if any(f"--{option} " not in prompt for prompt in prompts)
    }
    t.values |= {f"samples.{name}": value for name, value in lacking.items()}
    if t.takes_defaults and told and lacking:
        options = " ".join(f"--{_DEFAULTS[name][0]}" for name in lacking)
        becomes = tuple((f"samples.{name}", value) for name, value in lacking.items())
        note = "where a prompt does not say it; SDXL draws better at 1024"
        t.tell_default(f"sample_prompts {options}", ", ".join(str(value) for value in lacking.values()), becomes, note)
    sampler = t.entry("sample_sampler")
    if sampler is None:
        t.put_default("samples.sampler", "ddim", "sample_sampler")
    elif as_text(sampler.value) in SAMPLERS:
        t.put("samples.sampler", SAMPLERS[as_text(sampler.value)], sampler)
    else:
        t.tell(
            sampler,
            Fate.UNSUPPORTED,
            note=f"not among the samplers here: euler is taken ({', '.join(SAMPLERS)})",
            warning=True,
        )
    if (first := t.entry("sample_at_first")) is not None:
        t.put("samples.at_start", t.read(first, as_flag, False), first)


def _lines_of(path: Path) -> list[str]:
    """The prompts of a file in one of sd-scripts' three formats; none where it cannot be read."""
    try:
        if path.stat().st_size > 1_000_000:
            return []
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return [_line(item) for item in json.loads(text) if isinstance(item, dict)]
        if path.suffix.lower() == ".toml":
            whole = tomllib.loads(text).get("prompt", {})
            return [_line({**whole, **item}) for item in whole.get("subset", [whole])]
    except (OSError, ValueError, RecursionError, TypeError, AttributeError):
        return []
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def _line(item: dict[str, Any]) -> str:
    """A prompt of a TOML or JSON file as a line with options."""
    words = [as_text(item.get("prompt", ""))]
    for key, option in (
        ("negative_prompt", "n"),
        ("width", "w"),
        ("height", "h"),
        ("seed", "d"),
        ("sample_steps", "s"),
        ("scale", "l"),
    ):
        if not is_nothing(item.get(key)):
            words.append(f"--{option} {as_text(item[key])}")
    return " ".join(words)
