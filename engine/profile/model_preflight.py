"""A look at the base and the separate VAE that a profile names, before anything is made.

Folders are judged by names and small JSON files, single files by their headers, models on the Hugging Face Hub by what has been
fetched of them. The weights are left to ``engine.model``, as is fetching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.demo import locate
from engine.model.base_check import folder_prediction
from engine.model.errors import ModelError
from engine.model.hub_id import HubId, base_in, cached_snapshot, hub_cache, is_offline, parse_hub_id, vae_in
from engine.model.prediction import Prediction
from engine.model.single_file import read_single_file
from engine.model.vae_file import read_vae
from engine.profile.places import no_folder
from engine.run.records import read_json_object

Fault = tuple[str, str]
"""What is wrong, as a sentence's end, and what would mend it."""

_PARTS: Final = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
_CONFIGS: Final = ("unet/config.json", "vae/config.json", "text_encoder/config.json", "text_encoder_2/config.json")
_NEEDED: Final = "name an SDXL model: a diffusers folder (with model_index.json) or a single .safetensors file"
_VAE: Final = "name a VAE of SDXL: a .safetensors file or a diffusers folder"
_AGAIN: Final = "copy the model again"


@dataclass(frozen=True)
class Verdict:
    """What is said of a model."""

    errors: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


def check_base(written: str, *, needs_vae: bool = True) -> Verdict:
    """The verdict on ``model.base``. needs_vae: no separate VAE is named, so a single file must hold one."""
    path = locate(written)
    if hub_id := _hub_id(written, path):
        return _fetched(hub_id, lambda snapshot: _base_faults(base_in(snapshot) or snapshot, written, needs_vae))
    return Verdict(errors=tuple(_base_faults(path, written, needs_vae)))


def check_vae(written: str) -> Verdict:
    """The verdict on ``model.vae``."""
    path = locate(written)
    if hub_id := _hub_id(written, path):
        return _fetched(hub_id, lambda snapshot: _faults_of(read_vae, vae_in(snapshot)))
    if not _exists(path):
        return Verdict(errors=((no_folder(path, written, _MISSING) or _MISSING, _VAE),))
    return Verdict(errors=tuple(_faults_of(read_vae, path)))


def prediction_of(written: str) -> Prediction | None:
    """What ``model.base`` says that it predicts; None where that cannot be told, since it is not here or not readable."""
    path = locate(written)
    if hub_id := _hub_id(written, path):
        snapshot = cached_snapshot(hub_id)
        if snapshot is None:
            return None
        path = base_in(snapshot) or snapshot
    try:
        if _is_file(path):
            return read_single_file(path, needs_vae=False).configs.prediction
        scheduler = read_json_object(path / "scheduler" / "scheduler_config.json")
        return None if scheduler is None else folder_prediction(path, scheduler)
    except ModelError:
        return None


_MISSING: Final = "there is no such folder or file"


def _fetched(hub_id: HubId, faults: Callable[[Path], list[Fault]]) -> Verdict:
    """Nothing to say of a model on the hub that this machine has; of another one, whether and when it is fetched."""
    snapshot = cached_snapshot(hub_id)
    if snapshot is not None and not faults(snapshot):
        return Verdict()
    lacking = "is not complete" if snapshot is not None else "is not"
    here = f"is no file or folder here, so it is a model on the Hugging Face Hub; it {lacking} in {hub_cache()}"
    if is_offline():
        suggestion = "unset HF_HUB_OFFLINE, or name a file or folder that is here"
        return Verdict(errors=((f"{here}, and HF_HUB_OFFLINE forbids to fetch it", suggestion),))
    return Verdict(warnings=((here, "it is fetched when the run starts; a base is several GB"),))


def _hub_id(written: str, path: Path) -> HubId | None:
    return None if _exists(path) else parse_hub_id(written)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True  # it is there, and what is wrong with it is said when it is read


def _base_faults(path: Path, written: str, needs_vae: bool) -> list[Fault]:
    if _is_file(path):
        return _faults_of(lambda file: read_single_file(file, needs_vae=needs_vae), path)
    return _missing_parts(path, written) or _wrong_architecture(path) or _missing_weights(path)


def _faults_of(read: Callable[[Path], object], path: Path) -> list[Fault]:
    """What the engine's own check says against a file: it reads the header and nothing else."""
    try:
        read(path)
    except ModelError as error:
        hint = error.hint or ""
        return [(error.what, hint[:1].lower() + hint[1:].rstrip("."))]
    return []


def _missing_parts(folder: Path, written: str) -> list[Fault]:
    if reason := no_folder(folder, written, _MISSING):
        return [(reason, _NEEDED)]
    if not (folder / "model_index.json").is_file():
        return [("is not a diffusers folder: it has no model_index.json", _NEEDED)]
    missing = [part for part in _PARTS if not (folder / part).is_dir()]
    return [(f"lacks the folder{'s' * (len(missing) > 1)} {', '.join(missing)}", _NEEDED)] if missing else []


def _wrong_architecture(folder: Path) -> list[Fault]:
    configs = {name: read_json_object(folder / name) for name in _CONFIGS}
    unreadable = [(f"{name} is missing or not readable", _AGAIN) for name, config in configs.items() if config is None]
    if unreadable:
        return unreadable
    unet, second = configs["unet/config.json"] or {}, configs["text_encoder_2/config.json"] or {}
    reasons = []
    if unet.get("addition_embed_type") != "text_time":
        reasons.append(f"its UNet's addition_embed_type is {unet.get('addition_embed_type')!r}, not 'text_time'")
    if unet.get("in_channels") != 4:
        reasons.append(f"its UNet takes {unet.get('in_channels')} channels, not 4 (an inpainting or edit model?)")
    if not second.get("projection_dim"):
        reasons.append("its second text encoder has no projection_dim")
    return [(f"is not of the SDXL architecture: {reason}", _NEEDED) for reason in reasons]


def _missing_weights(folder: Path) -> list[Fault]:
    rule = "has no *.safetensors weights (files of other kinds are not loaded: they may hold code)"
    parts = ("unet", "vae", "text_encoder", "text_encoder_2")
    return [(f"{part}/ {rule}", _AGAIN) for part in parts if not any((folder / part).glob("*.safetensors"))]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
