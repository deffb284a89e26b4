"""A look at the folders a valid profile names, before anything is made: base model and images.

File names, small JSON files and the header of a single file only. What is inside the pictures is left to ``engine.data``, the
weights to ``engine.model``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.demo import BUNDLED, locate
from engine.model.errors import ModelError
from engine.model.single_file import read_single_file
from engine.profile.explain import dotted
from engine.profile.load import LoadedProfile
from engine.profile.problems import Problem, ProfileError, show_value
from engine.profile.schema import Profile
from engine.profile.source_map import Path as KeyPath
from engine.run.records import read_json_object

IMAGE_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_PARTS: Final = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
_CONFIGS: Final = ("unet/config.json", "vae/config.json", "text_encoder/config.json", "text_encoder_2/config.json")
_BUNDLED_NAMES: Final = ("bundled:demo-base", "bundled:demo-images")


def check_inputs(profile: Profile, loaded: LoadedProfile | None = None) -> list[Problem]:
    """Warnings about the folders ``profile`` names (absolute paths); empty if all is well.

    loaded: what ``profile`` was read from, so that problems name file and line.
    Raises ``ProfileError`` with everything that rules a launch out: a base that is missing or not of the SDXL
    architecture, a source folder that is missing, no image in any of them.
    """
    found = [_check_base(profile.model.base)]
    found += [_check_source(source.path, index) for index, source in enumerate(profile.dataset.sources)]
    errors = [fault for item in found for fault in item.errors]
    if not errors and not any(item.images for item in found):
        paths = ", ".join(source.path for source in profile.dataset.sources)
        suggestion = f"images end in {', '.join(IMAGE_ENDINGS)}"
        errors.append(_Fault(("dataset", "sources"), None, f"no image in {paths}", suggestion))
    if errors:
        raise ProfileError([fault.problem(loaded) for fault in errors])
    return [fault.problem(loaded) for item in found for fault in item.warnings]


def images_in(folder: Path) -> Iterator[Path]:
    """The files directly in ``folder`` that are named like images, by name; hidden ones are left out."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _is_image(entry))
    return (folder / name for name in names)


def _is_image(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name.lower().endswith(IMAGE_ENDINGS) and entry.is_file()


@dataclass(frozen=True)
class _Fault:
    """A problem before it is known in which file, at which line."""

    path: KeyPath
    value: str | None
    rule: str
    suggestion: str = ""

    def problem(self, loaded: LoadedProfile | None) -> Problem:
        file, line, column = loaded.place(self.path) if loaded else ("profile", None, None)
        value = None if self.value is None else show_value(self.value, limit=400)
        return Problem(file, line, column, dotted(self.path), value, self.rule, self.suggestion)


@dataclass(frozen=True)
class _Found:
    """What one folder holds."""

    images: int = 0
    errors: tuple[_Fault, ...] = ()
    warnings: tuple[_Fault, ...] = ()


def _check_source(written: str, index: int) -> _Found:
    path: KeyPath = ("dataset", "sources", index, "path")
    folder = locate(written)
    if reason := _no_folder(folder, written):
        return _Found(errors=(_Fault(path, written, reason, "name the folder that holds the images"),))
    try:
        images = list(images_in(folder))
        uncaptioned = sum(not image.with_suffix(".txt").is_file() for image in images)
        below = not images and any(any(images_in(entry)) for entry in folder.iterdir() if entry.is_dir())
    except OSError as error:
        return _Found(errors=(_Fault(path, written, f"cannot be read ({error.strerror})", "check its permissions"),))
    if not images:
        suggestion = "its subfolders do: list each as a source of its own" if below else ""
        return _Found(warnings=(_Fault(path, written, "holds no images", suggestion),))
    if uncaptioned:
        rule = f"{uncaptioned} of {len(images)} images have no caption (a .txt of the same name)"
        return _Found(len(images), warnings=(_Fault(path, written, rule, "they are trained with an empty caption"),))
    return _Found(len(images))


def _check_base(written: str) -> _Found:
    path = locate(written)
    faults = _single_file_faults(path) if _is_file(path) else _folder_faults(path, written)
    return _Found(errors=tuple(_Fault(("model", "base"), written, rule, suggestion) for rule, suggestion in faults))


def _folder_faults(folder: Path, written: str) -> list[tuple[str, str]]:
    return _missing_parts(folder, written) or _wrong_architecture(folder) or _missing_weights(folder)


def _single_file_faults(path: Path) -> list[tuple[str, str]]:
    """What the file's header says against it: the engine's own check, which reads nothing else."""
    try:
        read_single_file(path)
    except ModelError as error:
        hint = error.hint or ""
        return [(error.what, hint[:1].lower() + hint[1:].rstrip("."))]
    return []


_NEEDED: Final = "name an SDXL model: a diffusers folder (with model_index.json) or a single .safetensors file"
PLACEHOLDER: Final = "/path/to/"
"""What a shipped profile names where the user's own folder belongs."""
_AGAIN: Final = "copy the model again"


def _missing_parts(folder: Path, written: str) -> list[tuple[str, str]]:
    if reason := _no_folder(folder, written, "there is no such folder or file"):
        return [(reason, _NEEDED)]
    if not (folder / "model_index.json").is_file():
        return [("is not a diffusers folder: it has no model_index.json", _NEEDED)]
    missing = [part for part in _PARTS if not (folder / part).is_dir()]
    return [(f"lacks the folder{'s' * (len(missing) > 1)} {', '.join(missing)}", _NEEDED)] if missing else []


def _wrong_architecture(folder: Path) -> list[tuple[str, str]]:
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


def _missing_weights(folder: Path) -> list[tuple[str, str]]:
    rule = "has no *.safetensors weights (files of other kinds are not loaded: they may hold code)"
    parts = ("unet", "vae", "text_encoder", "text_encoder_2")
    return [(f"{part}/ {rule}", _AGAIN) for part in parts if not any((folder / part).glob("*.safetensors"))]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _no_folder(folder: Path, written: str, missing: str = "there is no such folder") -> str | None:
    try:
        if folder.is_dir():
            return None
        exists = folder.exists()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if written.startswith(BUNDLED):
        return f"nothing of that name is bundled: there are {' and '.join(_BUNDLED_NAMES)}"
    if exists:
        return "is a file, not a folder"
    if written.startswith(PLACEHOLDER):
        return "is a placeholder: write your own folder here, in a copy of the profile if it is a shipped one"
    parent = next((parent for parent in folder.parents if parent.is_dir()), Path(folder.root))
    known = f" ({parent} is the last part of the path that exists)" if parent.name else ""
    return f"{missing}{known}"
