"""``[dataset]`` and ``[captions]`` from options that stand at any of sd-scripts' four levels, the nearest first.

What a profile can say per folder is said there where the folders differ; what it says once is the first folder's.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, Final

from engine.foreign.sd_scripts.given import Entry, Scope
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.to_sources import Source, make_sources
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_flag, as_number, as_numbers, as_text, as_whole
from engine.profile.fields import profile_field

CROPS: Final = 4
"""Crops per image for ``random_crop``, which draws a new one at each visit there."""


def _crops(value: Any) -> int:
    return CROPS if as_flag(value) else 0


def _eights(value: Any) -> int:
    """Sides are multiples of 8 here, the size of a latent."""
    return max(8, as_whole(value) // 8 * 8)


_PER_SOURCE: Final[dict[str, tuple[str, str, Callable[[Any], Any], Any]]] = {
    "flip_aug": ("flip", "dataset.flip", as_flag, False),
    "random_crop": ("random_crops", "dataset.random_crops", _crops, 0),
    "shuffle_caption": ("shuffle", "captions.shuffle", as_flag, False),
    "caption_tag_dropout_rate": ("tag_dropout", "captions.tag_dropout", as_number, 0.0),
    "caption_dropout_rate": ("caption_dropout", "captions.caption_dropout", as_number, 0.0),
    "keep_tokens": ("keep_tokens", "captions.keep_tokens", as_whole, 0),
}
"""By option: the source's field, the field for all, the reader, and what holds where nothing is said."""
_ONCE_NOTES: Final = {
    "bucket_no_upscale": "there the shortest and longest side of a bucket do not count then, here they do",
    "skip_image_resolution": "there by the area, here by the shorter side",
}
_SHIFTS: Final = frozenset({"skip_image_resolution"})
_NOTES: Final = {"random_crop": f"there a new place at each visit, here {CROPS} places per image, all of them cached"}


def translate_dataset(t: Translation) -> None:
    """Sources, sizes, buckets, captions and the batch size."""
    sources = make_sources(t)
    for option, (name, path, reader, default) in _PER_SOURCE.items():
        _per_source(t, sources, option, (name, path, reader, default))
    _keep_tokens(t, sources)
    _once(t, sources, "caption_separator", "captions.separator", as_text)
    _once(t, sources, "keep_tokens_separator", "captions.keep_separator", as_text)
    _once(t, sources, "enable_wildcard", "captions.wildcards", as_flag)
    _once(t, sources, "batch_size", "training.batch_size", as_whole)
    if (size := t.entry("train_batch_size")) is not None and not t.has_told(size):
        t.tell(size, Fate.MEANINGLESS, note="batch_size of the data set counts")
    if (other := t.entry("batch_size")) is not None and not t.has_told(other):
        t.tell(other, Fate.MEANINGLESS, note="train_batch_size counts")
    _sizes(t, sources)
    if t.given.scope is not Scope.NOTHING:
        _assumed(t, sources)


def _per_source(
    t: Translation, sources: list[Source], option: str, target: tuple[str, str, Callable[[Any], Any], Any]
) -> None:
    name, path, reader, default = target
    found = [source.find(option) for source in sources]
    values = [t.read(entry, reader, default) for entry in found]
    is_same = all(value == values[0] for value in values)
    if is_same:
        t.values[path] = values[0]
    else:
        for source, value in zip(sources, values, strict=True):
            if value != default:
                source.table[name] = value
    for entry, value in zip(found, values, strict=True):
        if entry is not None:
            note = _NOTES.get(option, "") if value else ""
            t.tell(entry, Fate.TRANSLATED, ((path if is_same else f"dataset.sources.{name}", value),), note, bool(note))


def _keep_tokens(t: Translation, sources: list[Source]) -> None:
    """Tags are kept from nothing where they are neither shuffled nor dropped: a profile may not say so."""
    for source in sources:
        kept, shuffle, dropout = (
            source.table.get(name, t.values.get(f"captions.{name}", 0))
            for name in ("keep_tokens", "shuffle", "tag_dropout")
        )
        if kept and not shuffle and not dropout:
            if "keep_tokens" in source.table:
                del source.table["keep_tokens"]
            elif all(not other.table.get(name) for other in sources for name in ("shuffle", "tag_dropout")):
                t.values["captions.keep_tokens"] = 0
            else:
                source.table["keep_tokens"] = 0
            t.amend(source.find("keep_tokens"), Fate.MEANINGLESS, "tags are neither shuffled nor dropped")


def _once(t: Translation, sources: list[Source], option: str, path: str, reader: Callable[[Any], Any]) -> None:
    """A setting that a profile has once: the first folder's."""
    found = [entry for source in sources if (entry := source.find(option)) is not None]
    if not found:
        return
    value = t.read(found[0], reader, None)
    if value is None:
        return
    note = _ONCE_NOTES.get(option, "") if value != profile_field(path).default else ""
    if reader is _eights and value != as_whole(found[0].value):
        note = "the nearest multiple of 8 below it, or 8"
    t.put(path, value, found[0], note=note, warning=option in _SHIFTS and bool(note))
    for entry in found[1:]:
        if t.read(entry, reader, value) == value:
            t.tell(entry, Fate.TRANSLATED, ((path, value),))
        else:
            t.tell(
                entry, Fate.UNSUPPORTED, note=f"one for all folders: that of the first is taken, {value}", warning=True
            )


def _sizes(t: Translation, sources: list[Source]) -> None:
    first = sources[0]
    entry = first.find("resolution")
    if entry is not None:
        _resolution(t, entry)
    elif t.given.scope is not Scope.NOTHING:
        t.missing.append("no resolution is given, which sd-scripts requires: 1024 is taken")
    for other in {id(one): one for source in sources if (one := source.find("resolution")) is not None}.values():
        if other is not entry:
            same = entry is not None and as_text(other.value) == as_text(entry.value)
            note = "" if same else "one resolution for all folders: that of the first is taken"
            t.tell(other, Fate.TRANSLATED if same else Fate.UNSUPPORTED, note=note, warning=not same)
    _once(t, sources, "enable_bucket", "dataset.buckets", as_flag)
    _once(t, sources, "bucket_reso_steps", "dataset.bucket_step", _eights)
    _once(t, sources, "min_bucket_reso", "dataset.bucket_min", _eights)
    _once(t, sources, "max_bucket_reso", "dataset.bucket_max", _eights)
    _once(t, sources, "bucket_no_upscale", "dataset.upscale", lambda value: not as_flag(value))
    _once(t, sources, "skip_image_resolution", "dataset.smallest_image", lambda value: int(min(as_numbers(value))))


def _resolution(t: Translation, entry: Entry) -> None:
    sides: list[float] = t.read(entry, as_numbers, [])
    if not 1 <= len(sides) <= 2 or min(sides, default=0) <= 0:
        t.tell(entry, Fate.UNSUPPORTED, note="is neither a side nor width and height", warning=True)
        return
    width, height = sides[0], sides[-1]
    side = round(sqrt(width * height) / 8) * 8
    note = ""
    if width != height:
        note = f"the square of the same area; with buckets images have their own shapes, without them {side} × {side}"
    elif side != width:
        note = "the nearest multiple of 8"
    t.put("dataset.resolution", int(side), entry, note=note, warning=bool(note))


def _assumed(t: Translation, sources: list[Source]) -> None:
    """sd-scripts' defaults for what no level says."""
    first = sources[0]
    if first.find("enable_bucket") is None:
        t.put_default("dataset.buckets", False, "enable_bucket", "every image is cropped to a square", there="false")
    if t.values.get("dataset.buckets", True) and first.find("max_bucket_reso") is None:
        side = t.values.get("dataset.resolution", 1024)
        t.put_default("dataset.bucket_max", max(1024, side), "max_bucket_reso")
    extension = next((source for source in sources if source.table.get("caption_extension") == ".caption"), None)
    if extension is not None and extension.find("caption_extension") is None:
        becomes = (("dataset.sources.caption_extension", ".caption"),)
        t.tell_default("caption_extension", ".caption", becomes, "captions are looked for in files with this ending")
    if not t.values.get("dataset.buckets", profile_field("dataset.buckets").default):
        for option, name in (("min_bucket_reso", "min"), ("max_bucket_reso", "max"), ("bucket_reso_steps", "step")):
            if t.values.pop(f"dataset.bucket_{name}", None) is not None:
                t.amend(first.find(option), Fate.MEANINGLESS, "counts with enable_bucket")
