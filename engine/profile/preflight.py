"""A look at the folders a valid profile names, before anything is made: base model and images.

File names, small JSON files and headers only. The base and its VAE are ``model_preflight.py``'s; what is inside the pictures is
left to ``engine.data``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.demo import locate
from engine.profile.explain import dotted
from engine.profile.load import LoadedProfile
from engine.profile.model_preflight import check_base, check_vae
from engine.profile.places import no_folder
from engine.profile.problems import Problem, ProfileError, show_value
from engine.profile.schema import Model, Profile
from engine.profile.source_map import Path as KeyPath

IMAGE_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def check_inputs(profile: Profile, loaded: LoadedProfile | None = None) -> list[Problem]:
    """Warnings about the folders ``profile`` names (absolute paths); empty if all is well.

    loaded: what ``profile`` was read from, so that problems name file and line.
    Raises ``ProfileError`` with everything that rules a launch out: a base that is missing or not of the SDXL
    architecture, a source folder that is missing, no image in any of them.
    """
    found = _check_model(profile.model)
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
    if reason := no_folder(folder, written):
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


def _check_model(model: Model) -> list[_Found]:
    """What is said of the base, and of a separate VAE."""
    checked = {"base": check_base(model.base, needs_vae=model.vae is None)}
    if model.vae is not None:
        checked["vae"] = check_vae(model.vae)
    written = {"base": model.base, "vae": model.vae}
    return [
        _Found(
            errors=tuple(_Fault(("model", name), written[name], *fault) for fault in verdict.errors),
            warnings=tuple(_Fault(("model", name), written[name], *fault) for fault in verdict.warnings),
        )
        for name, verdict in checked.items()
    ]
