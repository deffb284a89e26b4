"""``[[dataset.sources]]`` from sd-scripts' data sets and subsets, or from the folders of train_data_dir and reg_data_dir."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Final

from engine.foreign.sd_scripts.folders import Images, count_images, repeated_folders
from engine.foreign.sd_scripts.given import Entry, GivenDataset, GivenSubset, Level, Scope
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.to_paths import existing, local_path
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_flag, as_number, as_text, as_whole, is_nothing
from engine.profile.places import PLACEHOLDER

NO_FOLDER: Final = f"{PLACEHOLDER}images"
_DERIVED: Final = "the folder's name"


@dataclass
class Source:
    """A folder on its way into the profile."""

    levels: tuple[Level, ...]
    """From the nearest: subset, data set, [general], arguments."""
    table: dict[str, Any] = field(default_factory=dict)
    images: int | None = None
    is_reg: bool = False

    def find(self, name: str) -> Entry | None:
        """What holds for this folder: the nearest level that says something."""
        for level in self.levels:
            found = level.get(name)
            if found is not None and not is_nothing(found.value):
                return found
        return None


def make_sources(t: Translation) -> list[Source]:
    """All folders with what belongs to each alone; sets the images that are seen per epoch where they can be counted."""
    datasets = t.given.datasets or _from_folders(t)
    options = dict(t.given.options)
    if (size := t.entry("train_batch_size")) is not None:
        options["batch_size"] = size
    found = [
        Source((subset.options, dataset.options, t.given.general, options), images=subset.images)
        for dataset in datasets
        for subset in dataset.subsets
    ]
    for source in found:
        _fill(t, source)
    if not found:
        found = [Source((t.given.general, options))]
        _fill(t, found[0])
    _balance(t, found)
    t.sources = [source.table for source in found]
    return found


def _fill(t: Translation, source: Source) -> None:
    folder = _place(t, source)
    repeats = source.find("num_repeats") or source.find("dataset_repeats")
    count = max(1, t.read(repeats, as_whole, 1))
    _set(t, source, "repeats", count, repeats)
    extension = source.find("caption_extension") or source.find("caption_extention")
    if extension is not None:
        word = as_text(extension.value).strip()
        _set(t, source, "caption_extension", word if word.startswith(".") else f".{word}", extension)
    elif t.given.scope is not Scope.NOTHING and source.find("metadata_file") is None:
        source.table["caption_extension"] = ".caption"
    for name, path in (("caption_prefix", "prefix"), ("caption_suffix", "suffix")):
        if (entry := source.find(name)) is not None:
            _set(t, source, path, as_text(entry.value), entry)
    _regularisation(t, source)
    _masks(t, source)
    images = None
    if folder is not None:
        images = count_images(folder, source.table.get("caption_extension", ".txt"))
        if (
            images is not None
            and images.count == 0
            and (below := count_images(folder, ".txt", recursive=True))
            and below.count
        ):
            source.table["recursive"] = True
            images = below
        source.images = images.count if images is not None else source.images
    _trigger(t, source, images)


def _place(t: Translation, source: Source) -> Path | None:
    """Sets path and metadata; returns the folder where it is on this machine."""
    entry = source.find("image_dir")
    metadata = source.find("metadata_file") or source.find("in_json")
    if metadata is not None:
        path = local_path(t, metadata)
        if path is not None:
            _set(t, source, "metadata", path, metadata)
    if entry is None:
        source.table["path"] = NO_FOLDER
        t.missing.append(
            f"no folder of images is named: set the path of dataset.sources ({NO_FOLDER} stands there now)"
        )
        return None
    path = local_path(t, entry) or NO_FOLDER
    _set(t, source, "path", path, entry)
    return existing(t, path)


def _regularisation(t: Translation, source: Source) -> None:
    entry, weight = source.find("is_reg"), source.find("prior_loss_weight")
    if entry is not None:
        source.is_reg = t.read(entry, as_flag, False)
        _set(t, source, "regularisation", source.is_reg, entry)
    if source.is_reg and weight is not None:
        _set(t, source, "prior_weight", t.read(weight, as_number, 1.0), weight)


def _masks(t: Translation, source: Source) -> None:
    folder, masked, alpha = (source.find(name) for name in ("conditioning_data_dir", "masked_loss", "alpha_mask"))
    is_on = t.read(masked, as_flag, False)
    if alpha is not None and t.read(alpha, as_flag, False):
        _set(t, source, "alpha_mask", True, alpha)
    if folder is not None and is_on:
        path = local_path(t, folder)
        if path is not None:
            _set(t, source, "mask_folder", path, folder)
        if masked is not None:
            t.tell(masked, Fate.TRANSLATED, (("dataset.sources.mask_folder", path),))
    elif folder is not None:
        t.tell(folder, Fate.MEANINGLESS, note="masks count with masked_loss")
    elif masked is not None and is_on and source.table.get("alpha_mask"):
        t.tell(masked, Fate.TRANSLATED, (("dataset.sources.alpha_mask", True),))


def _trigger(t: Translation, source: Source, images: Images | None) -> None:
    """class_tokens are the caption of images that have none there; here a trigger stands in every caption."""
    entry = source.find("class_tokens")
    if entry is None:
        return
    words = as_text(entry.value)
    is_derived = entry.shown_name == _DERIVED
    if images is not None and images.count and images.captioned == images.count:
        t.tell(entry, Fate.MEANINGLESS, note="counts for images without a caption, and all have one")
    elif images is not None and images.captioned:
        bare = images.count - images.captioned
        note = f"{bare} of {images.count} images have no caption, and are trained with an empty one: write one, or set trigger"
        t.tell(entry, Fate.UNSUPPORTED, note=note, warning=True)
    elif images is not None or not is_derived:
        note = "there the caption of images that have none, here put before every caption that does not hold it"
        source.table["trigger"] = words
        t.tell(entry, Fate.TRANSLATED, (("dataset.sources.trigger", words),), note, warning=images is None)
    else:
        t.tell(entry, Fate.MEANINGLESS, note="counts for images without a caption")


def _balance(t: Translation, sources: list[Source]) -> None:
    """Counts the images per epoch; regularisation images are repeated until there are as many as the others, as there."""
    trained = [source for source in sources if not source.is_reg]
    if any(source.images is None for source in trained) or not trained:
        if any(source.is_reg for source in sources):
            t.remark(
                "sd-scripts repeats regularisation images until they are as many as the others; here their repeats say it"
            )
        return
    seen = sum((source.images or 0) * source.table.get("repeats", 1) for source in trained)
    extra = [source for source in sources if source.is_reg]
    held = sum(source.images or 0 for source in extra)
    if extra and held:
        for source in extra:
            source.table["repeats"] = max(source.table.get("repeats", 1), ceil(seen / held))
        t.remark(
            f"regularisation images are repeated {ceil(seen / held)} times, as sd-scripts does, to be as many as the others"
        )
    t.images_per_epoch = seen + (seen if extra and held else 0)


def _set(t: Translation, source: Source, name: str, value: Any, entry: Entry | None) -> None:
    source.table[name] = value
    if entry is not None:
        t.tell(entry, Fate.TRANSLATED, ((f"dataset.sources.{name}", value),))


def _from_folders(t: Translation) -> list[GivenDataset]:
    """The data set that train_data_dir and reg_data_dir describe."""
    subsets: list[GivenSubset] = []
    for name, is_reg in (("train_data_dir", False), ("reg_data_dir", True)):
        if (entry := t.entry(name)) is not None:
            subsets += _folders_of(t, entry, is_reg=is_reg)
    return [GivenDataset({}, subsets)] if subsets else []


def _folders_of(t: Translation, entry: Entry, *, is_reg: bool) -> list[GivenSubset]:
    path = existing(t, as_text(entry.value).strip())
    reg = {"is_reg": Entry("is_reg", True, entry.shown_name)} if is_reg else {}
    for made in reg.values():
        t.pass_over(made)
    whole = GivenSubset({"image_dir": Entry("image_dir", entry.value, entry.shown_name), **reg})
    if t.entry("in_json") is not None and not is_reg:
        t.tell(entry, Fate.TRANSLATED, (("dataset.sources.path", as_text(entry.value)),))
        t.pass_over(whole.options["image_dir"])
        return [whole]
    try:
        folders = repeated_folders(path) if path is not None and path.is_dir() else []
    except OSError:
        folders = []
    if not folders:
        written = as_text(entry.value).strip()
        here = "there are none in it" if path is not None else "they are not on this machine"
        note = f"sd-scripts takes the folders 10_name in it, each 10 times; {here}: name each as a source"
        local = local_path(t, entry)
        t.tell(entry, Fate.TRANSLATED, (("dataset.sources.path", local),), note, warning=True)
        whole.options["image_dir"] = Entry("image_dir", local or written, entry.shown_name)
        t.pass_over(whole.options["image_dir"])
        return [whole]
    becomes = tuple(("dataset.sources.path", str(folder)) for folder, _, _ in folders)
    t.tell(entry, Fate.TRANSLATED, becomes, f"{len(folders)} folders, their repeats as their names say")
    return [
        GivenSubset(
            {
                "image_dir": Entry("image_dir", str(folder), f"{entry.shown_name} {folder.name}"),
                "num_repeats": Entry("num_repeats", repeats, f"{entry.shown_name} {folder.name}"),
                **({"class_tokens": Entry("class_tokens", words, _DERIVED)} if words else {}),
                **reg,
            }
        )
        for folder, repeats, words in folders
    ]
