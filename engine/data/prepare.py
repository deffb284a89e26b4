"""From a profile's ``dataset`` to a training set with everything encoded: scan, place, fill the cache.

Can be ended between any two items; what was encoded by then is found by the next start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from engine.data.batches import CHUNK, Cached, TrainingSet
from engine.data.buckets import BucketRules, bucket_sizes
from engine.data.cache import TensorMemory
from engine.data.embeddings import Embeddings, LiveEmbeddings, TextSource
from engine.data.encoded import Latents, Masks
from engine.data.encoders import EncoderSource
from engine.data.errors import PreparationStopped, shown
from engine.data.image import UnreadableImageError
from engine.data.placing import captions_vary, place_images, possible_captions
from engine.data.progress import Report, ShouldStop, Warn, never_stop, report_to_nobody, warn_nobody
from engine.data.report import remarks
from engine.data.scan import Skipped, folders_of, nothing_left, scan_sources
from engine.data.views import PlacedImage, View
from engine.profile.schema import Captions, Dataset

DEFAULT_MEMORY_BYTES: Final = 2**30
LIVE_TEXT_BYTES: Final = 64 * 2**20
"""Embeddings of varying captions that are remembered, on the device: a hundred at SDXL's size."""

Item = TypeVar("Item")


def prepare(
    dataset: Dataset,
    cache: Path,
    encoders: EncoderSource,
    *,
    captions: Captions | None = None,
    prompts: Iterable[str] = (),
    encode_text: bool = True,
    by_chance: bool = True,
    report: Report = report_to_nobody,
    should_stop: ShouldStop = never_stop,
    warn: Warn = warn_nobody,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> TrainingSet:
    """Scan the sources, place every image in a bucket and have all latents, masks and embeddings in ``cache``.

    The encoders are used only for what the cache lacks, and released at the end. Where captions vary from visit to visit
    the text encoders are kept instead, and texts are encoded when they are needed. Images that cannot be read are left out
    and warned of. captions: the profile's; encoders must read captions as they say. prompts: further texts to embed, for
    samples. encode_text: False where the text encoders are trained, and captions have to be encoded in the step. by_chance:
    False where the set is only read by index, without visits: one view and one caption of each image suffice. report:
    "images", then "latents", "masks" (if there are any), "text" (if they are encoded ahead).
    memory_bytes: how much of the encoded data is held in memory; the rest is read from disk when needed.

    Raises ``DatasetError`` if no image is left, a folder cannot be read, no bucket fits or the cache cannot be
    written; ``PreparationStopped`` as soon as ``should_stop()`` is true, which is asked between items.
    """
    captions = captions or Captions()
    bucket_sizes(BucketRules.of(dataset))  # Rules that leave no bucket are refused before any file is read.
    scan = scan_sources(dataset.sources, smallest=dataset.smallest_image, report=report, should_stop=should_stop)
    for skipped in scan.skipped:
        warn(f"image left out: {skipped.reason}", shown(skipped.path))
    placed = place_images(scan.images, dataset, captions, by_chance=by_chance)
    placed.sort(key=lambda item: (item.placement.bucket_width, item.placement.bucket_height))
    for sentence, where in remarks(scan, placed):
        warn(sentence, where)

    memory = TensorMemory(memory_bytes)
    latents = Latents(cache, encoders, memory, warn, dataset.background)
    masks = Masks(cache, encoders, memory, warn)
    is_live = False
    try:
        readable, unreadable, cached = _ensure_images(latents, masks, placed, report, should_stop)
        encoders.release()  # The VAE makes room for the text encoders.
        for skipped in unreadable:
            warn(f"image left out: {skipped.reason}", shown(skipped.path))
        all_skipped = (*scan.skipped, *unreadable)
        if not readable:
            raise nothing_left(folders_of(dataset.sources), all_skipped)
        is_live = encode_text and by_chance and captions_vary(readable)
        text: TextSource | None = None
        count: Callable[[str], int] = encoders.count_tokens
        if encode_text and not is_live:
            text = embeddings = Embeddings(cache, encoders, memory, warn)
            padding = [""] if captions.max_tokens > CHUNK else []  # what a shorter caption is filled up with
            texts = list(dict.fromkeys([*possible_captions(readable), *prompts, *padding]))
            cached.append(_ensure_all("text", texts, embeddings.ensure, report, should_stop))
            count = embeddings.tokens  # with a full cache no tokenizer is loaded
        elif is_live:
            text = LiveEmbeddings(encoders, TensorMemory(LIVE_TEXT_BYTES))
        tokens = {caption: count(caption) for caption in possible_captions(readable)}
    finally:
        if not is_live:
            encoders.release()
    return TrainingSet(
        readable,
        latents=latents,
        masks=masks,
        text=text,
        skipped=all_skipped,
        cached=cached,
        tokens=tokens,
        max_tokens=captions.max_tokens,
    )


def _ensure_images(
    latents: Latents, masks: Masks, placed: Sequence[PlacedImage], report: Report, should_stop: ShouldStop
) -> tuple[list[PlacedImage], list[Skipped], list[Cached]]:
    """The images all of whose views are there, those that turned out to be unreadable, and what was done."""
    unreadable: dict[Path, Skipped] = {}

    def ensured(kind: Latents | Masks, view: View) -> bool:
        if view.image.path in unreadable:
            return False
        try:
            return kind.ensure(view)
        except UnreadableImageError as error:
            unreadable[view.image.path] = Skipped(view.image.path, str(error))
            return False

    def count(kind: Latents | Masks, views: Sequence[View], what: str) -> Cached:
        cached = _ensure_all(what, views, lambda view: ensured(kind, view), report, should_stop)
        return replace(cached, count=sum(view.image.path not in unreadable for view in views))

    masked = [view for item in placed if item.image.has_mask for view in item.views]
    done = [count(masks, masked, "masks")] if masked else []
    done.insert(0, count(latents, [view for item in placed for view in item.views], "latents"))
    readable = [item for item in placed if item.image.path not in unreadable]
    return readable, list(unreadable.values()), done


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
