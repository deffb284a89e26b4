"""From a profile's ``dataset`` to a training set with everything encoded: scan, place, fill the cache.

Can be ended between any two items; what was encoded by then is found by the next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from engine.data.batches import Cached, TrainingSet
from engine.data.buckets import BucketRules, bucket_sizes, place
from engine.data.cache import TensorMemory
from engine.data.encoded import Embeddings, Latents, PlacedImage
from engine.data.encoders import EncoderSource
from engine.data.errors import PreparationStopped, shown
from engine.data.image import UnreadableImageError
from engine.data.progress import Report, ShouldStop, Warn, never_stop, report_to_nobody, warn_nobody
from engine.data.scan import Scan, Skipped, folders_of, nothing_left, scan_sources
from engine.profile.schema import Dataset

DEFAULT_MEMORY_BYTES: Final = 2**30

Item = TypeVar("Item")


def prepare(
    dataset: Dataset,
    cache: Path,
    encoders: EncoderSource,
    *,
    prompts: Iterable[str] = (),
    encode_text: bool = True,
    report: Report = report_to_nobody,
    should_stop: ShouldStop = never_stop,
    warn: Warn = warn_nobody,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> TrainingSet:
    """Scan the sources, place every image in a bucket and have all latents and embeddings in ``cache``.

    The encoders are used only for what the cache lacks, and released at the end. Images that cannot be read are
    left out and warned of. prompts: further texts to embed, for samples. encode_text: False where the text encoders are trained,
    and captions have to be encoded in every step. report: "images", then "latents", then
    "text". memory_bytes: how much of the encoded data is held in memory; the rest is read from disk when needed.

    Raises ``DatasetError`` if no image is left, a folder cannot be read, no bucket fits or the cache cannot be
    written; ``PreparationStopped`` as soon as ``should_stop()`` is true, which is asked between items.
    """
    rules = BucketRules.of(dataset)
    bucket_sizes(rules)  # Rules that leave no bucket are refused before any file is read.
    scan = scan_sources(dataset.sources, report=report, should_stop=should_stop)
    _warn_of(scan, warn)
    placed = [PlacedImage(image, place(image.width, image.height, rules)) for image in scan.images]
    placed.sort(key=lambda item: (item.placement.bucket_width, item.placement.bucket_height))

    memory = TensorMemory(memory_bytes)
    latents = Latents(cache, encoders, memory, warn)
    embeddings = Embeddings(cache, encoders, memory, warn)
    try:
        readable, unreadable, latents_cached = _ensure_latents(latents, placed, report, should_stop)
        encoders.release()  # The VAE makes room for the text encoders.
        for skipped in unreadable:
            warn(f"image left out: {skipped.reason}", shown(skipped.path))
        all_skipped = (*scan.skipped, *unreadable)
        if not readable:
            raise nothing_left(folders_of(dataset.sources), all_skipped)
        cached = [latents_cached]
        if encode_text:
            captions = list(dict.fromkeys([*(item.image.caption for item in readable), *prompts]))
            cached.append(_ensure_all("text", captions, embeddings.ensure, report, should_stop))
    finally:
        encoders.release()
    return TrainingSet(
        readable,
        latents=latents,
        embeddings=embeddings if encode_text else None,
        skipped=all_skipped,
        cached=cached,
    )


def _warn_of(scan: Scan, warn: Warn) -> None:
    for skipped in scan.skipped:
        warn(f"image left out: {skipped.reason}", shown(skipped.path))
    for folder in scan.empty_sources:
        warn("no image in this source", shown(folder))
    if scan.uncaptioned:
        names = ", ".join(shown(path.name) for path in scan.uncaptioned[:5])
        more = f" and {len(scan.uncaptioned) - 5} more" if len(scan.uncaptioned) > 5 else ""
        count = len(scan.uncaptioned)
        what = "image has no caption and is" if count == 1 else "images have no caption and are"
        warn(
            f"{count} {what} trained with an empty one: {names}{more}",
            shown(scan.uncaptioned[0].parent),
        )


def _ensure_latents(
    latents: Latents, placed: Sequence[PlacedImage], report: Report, should_stop: ShouldStop
) -> tuple[list[PlacedImage], list[Skipped], Cached]:
    """The images whose latents are there, those that turned out to be unreadable, and what was done."""
    readable: list[PlacedImage] = []
    unreadable: list[Skipped] = []

    def ensure(item: PlacedImage) -> bool:
        try:
            built = latents.ensure(item)
        except UnreadableImageError as error:
            unreadable.append(Skipped(item.image.path, str(error)))
            return False
        readable.append(item)
        return built

    cached = _ensure_all("latents", placed, ensure, report, should_stop)
    return readable, unreadable, replace(cached, count=len(readable))


def _ensure_all(
    what: str, items: Sequence[Item], ensure: Callable[[Item], bool], report: Report, should_stop: ShouldStop
) -> Cached:
    began = time.monotonic()
    built = 0
    for done, item in enumerate(items):
        if should_stop():
            raise PreparationStopped
        report(what, done, len(items))
        built += ensure(item)
    report(what, len(items), len(items))
    return Cached(what, len(items), built, time.monotonic() - began)
