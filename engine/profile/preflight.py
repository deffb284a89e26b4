"""A look at the folders a valid profile names, before anything is made: base model and images.

File names, small JSON files and headers only. The base and its VAE are ``model_preflight.py``'s; what is inside the pictures is
left to ``engine.data``.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.demo import locate
from engine.model.trained_prediction import ObjectiveError, effective_prediction
from engine.profile.explain import dotted
from engine.profile.likely_mistakes import likely_mistakes
from engine.profile.load import LoadedProfile
from engine.profile.model_preflight import check_base, check_vae, prediction_of
from engine.profile.optimizer_kinds import OPTIMIZERS
from engine.profile.places import PLACEHOLDER, no_folder
from engine.profile.problems import Problem, ProfileError, show_value
from engine.profile.schema import Model, Profile, Source
from engine.profile.source_map import Path as KeyPath
from engine.profile.source_map import moved
from engine.profile.stages import overlays, trained_profiles, unused_fields

IMAGE_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def check_inputs(profile: Profile, loaded: LoadedProfile | None = None) -> list[Problem]:
    """Warnings about the folders ``profile`` names (absolute paths); empty if all is well.

    loaded: what ``profile`` was read from, so that problems name file and line.
    Raises ``ProfileError`` with everything that rules a launch out: a base that is missing or not of the SDXL
    architecture, a source folder that is missing, no image in any of them.
    """
    places: list[Mapping[KeyPath, KeyPath]] = [over.written for over in overlays(profile)] or [{}]
    found = [
        item.moved(at)
        for trained, at in zip(trained_profiles(profile), places, strict=True)
        for item in _look_at(trained)
    ]
    if errors := list(dict.fromkeys(fault for item in found for fault in item.errors)):
        raise ProfileError([fault.problem(loaded) for fault in errors])
    warnings = [*(fault for item in found for fault in item.warnings), *_unused(profile, loaded)]
    return [fault.problem(loaded) for fault in dict.fromkeys(warnings)]


def _look_at(profile: Profile) -> list[_Found]:
    """Everything that one training needs."""
    found = [
        _check_optimizer(profile),
        _check_trackers(profile),
        *_check_model(profile.model),
        _check_objective(profile),
    ]
    sources = [_check_source(source, index) for index, source in enumerate(profile.dataset.sources)]
    found += [*sources, _check_start(profile)]
    if not any(item.errors or item.images for item in found):
        paths = ", ".join(source.path for source in profile.dataset.sources)
        suggestion = f"images end in {', '.join(IMAGE_ENDINGS)}"
        found.append(_Found(errors=(_Fault(("dataset", "sources"), None, f"no image in {paths}", suggestion),)))
    seen = sum(item.images * source.repeats for item, source in zip(sources, profile.dataset.sources, strict=True))
    likely = [
        _Fault(tuple(one.field.split(".")), one.value, one.rule, one.suggestion)
        for one in likely_mistakes(profile, seen)
    ]
    return [*found, _Found(warnings=tuple(likely))]


def _check_start(profile: Profile) -> _Found:
    """Whether the file is there whose weights are started from; what is in it is looked at when it is read."""
    written = profile.network.start_from
    if written is None or _is_file(locate(written)) or locate(written).is_dir():
        return _Found()
    rule = "there is no such file"
    if written.startswith(PLACEHOLDER):
        rule = "is a placeholder: write your own file here, in a profile of your own if it is a shipped one"
    return _Found(errors=(_Fault(("network", "start_from"), written, rule, "name a LoRA file"),))


def _unused(profile: Profile, loaded: LoadedProfile | None) -> list[_Fault]:
    """Fields that the profile sets and that no stage takes from it; what it inherits may be meant for others."""
    if loaded is None:
        return []
    over = overlays(profile)
    found = []
    for keys in (tuple(path.split(".")) for path in unused_fields(profile)):
        if loaded.is_own(keys):
            theirs = any(keys in stage.written for stage in over)
            why = "the stages have their own" if theirs else "it shapes the schedule of no stage"
            found.append(_Fault(keys, None, f"is not used: {why}", "take it out"))
    return found


def images_in(folder: Path, *, recursive: bool = False, without: Path | None = None) -> Iterator[Path]:
    """The files in ``folder`` that are named like images, by name; hidden ones are left out.

    recursive: also those in the folders inside, but for ``without``.
    """
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        path = folder / entry.name
        if entry.name.lower().endswith(IMAGE_ENDINGS) and entry.is_file():
            yield path
        elif recursive and entry.is_dir(follow_symlinks=False) and path != without:
            yield from images_in(path, recursive=True, without=without)


@dataclass(frozen=True)
class _Fault:
    """A problem before it is known in which file, at which line."""

    path: KeyPath
    value: str | float | None
    rule: str
    suggestion: str = ""

    def problem(self, loaded: LoadedProfile | None) -> Problem:
        file, line, column = loaded.place(self.path) if loaded else ("profile", None, None)
        value = None if self.value is None else show_value(self.value, limit=400)
        problem = Problem(file, line, column, dotted(self.path), value, self.rule, self.suggestion)
        return loaded.lineage.inherited(problem) if loaded else problem


@dataclass(frozen=True)
class _Found:
    """What one folder holds, or one section says."""

    images: int = 0
    errors: tuple[_Fault, ...] = ()
    warnings: tuple[_Fault, ...] = ()

    def moved(self, places: Mapping[KeyPath, KeyPath]) -> _Found:
        """With every fault where its value was written."""
        errors, warnings = (
            tuple(replace(fault, path=moved(fault.path, places)) for fault in faults)
            for faults in (self.errors, self.warnings)
        )
        return _Found(self.images, errors, warnings)


def _check_objective(profile: Profile) -> _Found:
    """Whether ``[loss]`` goes together with what the base says that it predicts."""
    prediction = prediction_of(profile.model.base)
    try:
        if prediction is not None:
            effective_prediction(prediction, profile.loss)
    except ObjectiveError as error:
        hint = error.hint or ""
        path: KeyPath = tuple((error.where or "loss").split("."))
        return _Found(errors=(_Fault(path, None, error.what, hint[:1].lower() + hint[1:].rstrip(".")),))
    return _Found()


def _check_source(source: Source, index: int) -> _Found:
    path: KeyPath = ("dataset", "sources", index, "path")
    written, folder = source.path, locate(source.path)
    if reason := no_folder(folder, written):
        return _Found(errors=(_Fault(path, written, reason, "name the folder that holds the images"),))
    if fault := _missing_companion(source, index):
        return _Found(errors=(fault,))
    without = None if source.mask_folder is None else locate(source.mask_folder)
    ending = source.caption_extension
    try:
        images = list(images_in(folder, recursive=source.recursive, without=without))
        uncaptioned = sum(not image.with_suffix(ending).is_file() for image in images)
        below = not images and any(any(images_in(entry)) for entry in folder.iterdir() if entry.is_dir())
    except OSError as error:
        return _Found(errors=(_Fault(path, written, f"cannot be read ({error.strerror})", "check its permissions"),))
    if not images:
        suggestion = "its subfolders do: set recursive = true for it" if below else ""
        return _Found(warnings=(_Fault(path, written, "holds no images", suggestion),))
    if uncaptioned and source.metadata is None:  # what the metadata names is known when it is read
        rule = f"{uncaptioned} of {len(images)} images have no caption (a {ending} of the same name)"
        return _Found(len(images), warnings=(_Fault(path, written, rule, _way_to_captions(source, images)),))
    return _Found(len(images))


def _way_to_captions(source: Source, images: Sequence[Path]) -> str:
    """What to do about images without a caption file, or what becomes of them."""
    for ending in (".txt", ".caption"):
        if ending != source.caption_extension and any(image.with_suffix(ending).is_file() for image in images):
            return f'there are {ending} files: set caption_extension = "{ending}" for it'
    told = source.trigger or source.prefix or source.suffix
    return f"they are trained with {'its trigger, prefix and suffix alone' if told else 'an empty caption'}"


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


def _check_optimizer(profile: Profile) -> _Found:
    """Whether its package is there."""
    kind = profile.optimizer.kind
    facts = OPTIMIZERS[kind]
    errors: list[_Fault] = []
    if importlib.util.find_spec(facts.module) is None:
        rule = f"needs the package {facts.package}, which is not installed"
        suggestion = f"pip install 'sdxl-tui[optimizers]', or only {facts.package}"
        errors.append(_Fault(("optimizer", "kind"), kind.value, rule, suggestion))
    return _Found(errors=tuple(errors))


def _check_trackers(profile: Profile) -> _Found:
    """Whether their packages are there: the engine starts them when the data is ready, which may be much later."""
    path: KeyPath = ("logging", "trackers")
    return _Found(
        errors=tuple(
            _Fault(path, None, f"{name} is not installed", f"pip install 'sdxl-tui[{name}]', or take it out")
            for name in profile.logging.trackers
            if importlib.util.find_spec(name) is None
        )
    )


def _missing_companion(source: Source, index: int) -> _Fault | None:
    """What is wrong with the place of a source's masks or metadata; what is in them is left to ``engine.data``."""
    if source.mask_folder is not None and (reason := no_folder(locate(source.mask_folder), source.mask_folder)):
        path: KeyPath = ("dataset", "sources", index, "mask_folder")
        return _Fault(path, source.mask_folder, reason, "name the folder that holds the masks")
    if source.metadata is not None and not _is_file(locate(source.metadata)):
        path = ("dataset", "sources", index, "metadata")
        return _Fault(path, source.metadata, "there is no such file", "name the JSON or JSONL file with the captions")
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
