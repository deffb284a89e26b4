"""What a data set comes to, in numbers: the ``dataset`` event, and what ``sdxl-tui dataset`` shows. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from engine.data.errors import shown
from engine.data.placing import captions_vary, groups
from engine.data.scan import Scan, Skipped
from engine.data.views import PlacedImage

NAMED: Final = 5
"""How many files a sentence names."""


@dataclass(frozen=True)
class CaptionLengths:
    """How long the captions are, in tokens of the first text encoder; of captions that vary, as they stand without chance."""

    shortest: int
    median: float
    longest: int
    cut: int
    """Captions of which the end is cut off."""
    limit: int
    """``captions.max_tokens``."""

    @classmethod
    def of(cls, lengths: Sequence[int], limit: int) -> CaptionLengths:
        """lengths: of at least one caption."""
        return cls(min(lengths), median(lengths), max(lengths), sum(length > limit for length in lengths), limit)


@dataclass(frozen=True)
class DatasetReport:
    """What a data set came to, and what was left out by name."""

    images: int
    batches_per_epoch: int
    steps_per_epoch: float
    """Optimizer steps; not whole where gradients are accumulated over batches of two epochs."""
    buckets: dict[str, int]
    """Images by bucket (``"832x1216"``, width × height), repeats not counted."""
    regularisation_images: int
    """Of ``images``."""
    seen_per_epoch: int
    """Repeats counted."""
    regularisation_seen_per_epoch: int
    latents: int
    """Crops and mirrored sides counted."""
    masked: int
    upscaled: int
    largest_enlargement: float
    """By how much the picture that has to grow most does; 1 if none has to."""
    animated: int
    duplicates: tuple[tuple[Path, ...], ...]
    """Files of the same content, in groups."""
    uncaptioned: int
    captions: CaptionLengths | None
    """None where nobody counted the tokens."""
    text: str
    """"cached"; "live": captions vary, and the text encoders stay loaded; "trained": they are trained along."""
    skipped: tuple[Skipped, ...]

    def to_json(self) -> dict[str, Any]:
        """The event's fields; of what was skipped or is there twice the number of files."""
        copies = sum(len(group) - 1 for group in self.duplicates)
        plain = replace(self, skipped=(), duplicates=())
        return {**asdict(plain), "skipped": len(self.skipped), "duplicates": copies}

    def lines(self) -> list[str]:
        """What the log says of the set besides its buckets, one sentence each; nothing of what is not there."""
        found = []
        if self.regularisation_images:
            training = self.seen_per_epoch - self.regularisation_seen_per_epoch
            found.append(
                f"{self.regularisation_images} of the images are for regularisation: seen "
                f"{self.regularisation_seen_per_epoch} times per epoch, the others {training} times"
            )
        if self.latents > self.images:
            found.append(f"{self.latents} latents: crops and mirrored sides")
        if self.masked:
            found.append(f"masks on {self.masked} of the images")
        if self.upscaled:
            found.append(f"enlarged for their bucket: {self.upscaled}, by up to {self.largest_enlargement:g} times")
        if self.captions is not None:
            lengths = self.captions
            cut = f", {lengths.cut} cut to {lengths.limit}" if lengths.cut else ""
            found.append(
                f"captions of {lengths.shortest} to {lengths.longest} tokens, half of them up to {lengths.median:g}{cut}"
            )
        if self.text == "live":
            found.append("captions vary: the text encoders stay loaded")
        return found


def report_on(
    items: Sequence[PlacedImage],
    *,
    skipped: Sequence[Skipped],
    batch_size: int,
    accumulation: int = 1,
    tokens: Sequence[int] | None = None,
    max_tokens: int = 75,
    encodes_text: bool = True,
) -> DatasetReport:
    """The report on ``items``, at least one, in their canonical order.

    tokens: lengths of their captions without chance, if they were counted. encodes_text: False where the text encoders are
    trained.
    """
    in_buckets = groups(items)
    batches = sum(-(-len(group) // batch_size) for group in in_buckets)
    growth = [max(1.0, _enlargement(item)) for item in items]
    sizes = Counter(item.placement.bucket for item in items)
    of_regularisation = [item.image for item in items if item.image.is_regularisation]
    return DatasetReport(
        images=len(items),
        batches_per_epoch=batches,
        steps_per_epoch=batches / accumulation,
        buckets=dict(sorted(sizes.items(), key=lambda entry: [int(side) for side in entry[0].split("x")])),
        regularisation_images=len(of_regularisation),
        seen_per_epoch=sum(item.image.repeats for item in items),
        regularisation_seen_per_epoch=sum(image.repeats for image in of_regularisation),
        latents=len({view for item in items for view in item.views}),
        masked=sum(item.image.has_mask for item in items),
        upscaled=sum(factor > 1 for factor in growth),
        largest_enlargement=round(max(growth), 2),
        animated=sum(item.image.is_animated for item in items),
        duplicates=duplicates(items),
        uncaptioned=sum(not item.image.lines for item in items),
        captions=CaptionLengths.of(tokens, max_tokens) if tokens else None,
        text=("live" if captions_vary(items) else "cached") if encodes_text else "trained",
        skipped=tuple(skipped),
    )


def duplicates(items: Sequence[PlacedImage]) -> tuple[tuple[Path, ...], ...]:
    """Files of the same content, in groups of at least two."""
    found: dict[str, dict[Path, None]] = {}
    for item in items:
        found.setdefault(item.image.digest, {})[item.image.path] = None
    return tuple(tuple(sorted(paths)) for paths in found.values() if len(paths) > 1)


def remarks(scan: Scan, items: Sequence[PlacedImage]) -> list[tuple[str, str]]:
    """What a person should hear of the images that were taken: (sentence, file or folder it is about)."""
    found = [("no image in this source", shown(folder)) for folder in scan.empty_sources]
    if scan.uncaptioned:
        what = _counted(scan.uncaptioned, "has no caption and is", "have no caption and are")
        bare = set(scan.uncaptioned)
        told = any(item.plain_caption for item in items if item.image.path in bare)
        how = "with nothing but the source's trigger, prefix and suffix" if told else "with an empty one"
        found.append((f"{what} trained {how}: {_names(scan.uncaptioned)}", _folder(scan.uncaptioned)))
    if scan.other_captions:
        endings = " or ".join(sorted({path.suffix for path in scan.other_captions}))
        what = "of them has" if len(scan.other_captions) == 1 else "of them have"
        sentence = f"{len(scan.other_captions)} {what} a caption that is not read: {_names(scan.other_captions)}"
        found.append((f"{sentence}; caption_extension of the source would be {endings}", _folder(scan.other_captions)))
    if scan.maskless:
        what = _counted(scan.maskless, "has no mask and is", "have no mask and are")
        found.append((f"{what} trained whole: {_names(scan.maskless)}", _folder(scan.maskless)))
    for path, keys in scan.unused:
        what = "entry names" if len(keys) == 1 else "entries name"
        found.append((f"{len(keys)} {what} no image here: {_listed(keys)}", shown(path)))
    moving = [item.image.path for item in items if item.image.is_animated]
    if moving:
        what = _counted(moving, "is animated: its first frame is", "are animated: their first frames are")
        found.append((f"{what} taken: {_names(moving)}", _folder(moving)))
    copies = duplicates(items)
    if copies:
        count = sum(len(group) - 1 for group in copies)
        pairs = [f"{shown(group[1].name)} = {shown(group[0].name)}" for group in copies]
        what = "image is a copy of another" if count == 1 else "images are copies of others"
        found.append((f"{count} {what} and seen more often: {_listed(pairs)}", _folder([copies[0][1]])))
    return found


def _enlargement(item: PlacedImage) -> float:
    placement = item.placement
    # The covering side: the other one is rounded and may exceed the factor by a fraction of a pixel.
    return min(placement.resized_width / item.image.width, placement.resized_height / item.image.height)


def _counted(paths: Sequence[Path], one: str, many: str) -> str:
    return f"1 image {one}" if len(paths) == 1 else f"{len(paths)} images {many}"


def _names(paths: Sequence[Path]) -> str:
    return _listed([path.name for path in paths])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shown(name) for name in names[:NAMED]) + more


def _folder(paths: Sequence[Path]) -> str:
    return shown(paths[0].parent)
