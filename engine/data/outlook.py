"""``python -m engine dataset``: what a profile's data set would come to, before anything is encoded or trained.

Files are read and headers looked at, no picture is decoded: one that is cut short is found when it is encoded. Only
counting tokens loads a library of the training's, and only the tokenizers of the base.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.data.buckets import BucketRules, bucket_sizes
from engine.data.errors import shown
from engine.data.picture import Look, look_at_picture
from engine.data.placing import in_order, place_images
from engine.data.progress import Report, ShouldStop, never_stop, report_to_nobody
from engine.data.report import DatasetReport, remarks, report_on
from engine.data.scan import Scan, scan_sources
from engine.data.views import PlacedImage
from engine.demo import locate
from engine.errors import UserError
from engine.profile.load import load_profile
from engine.profile.schema import Profile


def print_dataset(arguments: argparse.Namespace) -> int:
    """Print the report on the data set of the profile in ``arguments.profile`` as one line of JSON."""
    profile = load_profile(arguments.profile, arguments.overrides).profile
    print(json.dumps(outlook(profile, count_tokens=arguments.tokens).to_json()))
    return 0


@dataclass(frozen=True)
class DataOutlook:
    """What a profile's data set would come to."""

    report: DatasetReport
    remarks: tuple[tuple[str, str], ...]
    """What a person should hear of it: (sentence, file or folder it is about)."""
    steps: int
    """That the profile trains."""

    @property
    def epochs(self) -> float:
        """In these steps."""
        return round(self.steps / self.report.steps_per_epoch, 2)

    def to_json(self) -> dict[str, Any]:
        """The ``dataset`` event as it will be, and further: files left out, copies, remarks, epochs."""
        return {
            **self.report.to_json(),
            "steps": self.steps,
            "epochs": self.epochs,
            "skipped_files": [{"path": shown(one.path), "reason": one.reason} for one in self.report.skipped],
            "duplicate_files": [[shown(path) for path in group] for group in self.report.duplicates],
            "remarks": [{"message": sentence, "where": where} for sentence, where in self.remarks],
            "summary": self.report.lines(),
        }


def scan_of(
    profile: Profile,
    *,
    report: Report = report_to_nobody,
    should_stop: ShouldStop = never_stop,
    look: Look = look_at_picture,
) -> Scan:
    """The images that ``profile`` names; as ``scan_sources``. A bucket that fits none is told first: it takes no reading."""
    dataset = profile.dataset
    bucket_sizes(BucketRules.of(dataset))
    return scan_sources(
        dataset.sources, smallest=dataset.smallest_image, report=report, should_stop=should_stop, look=look
    )


def outlook_of(profile: Profile, scan: Scan, *, count_tokens: bool = False) -> DataOutlook:
    """What the images of ``scan``, which were found for ``profile``, come to. Raises ``DatasetError`` if no bucket fits.

    A base that cannot be opened leaves the lengths of captions open and is remarked on.
    """
    training = profile.training
    items = in_order(place_images(scan.images, profile.dataset, profile.captions))
    told = remarks(scan, items)
    tokens: list[int] | None = None
    if count_tokens:
        try:
            tokens = _lengths(profile, items)
        except UserError as error:
            told.append((f"tokens are not counted: {error.what}", error.where or profile.model.base))
    report = report_on(
        items,
        skipped=scan.skipped,
        batch_size=training.batch_size * profile.launch.processes,
        accumulation=training.gradient_accumulation,
        tokens=tokens,
        max_tokens=profile.captions.max_tokens,
        encodes_text=not profile.network.trains_text,
    )
    return DataOutlook(report, tuple(told), training.steps)


def outlook(profile: Profile, *, count_tokens: bool = True) -> DataOutlook:
    """Both at once. Raises ``DatasetError`` where the training would."""
    return outlook_of(profile, scan_of(profile), count_tokens=count_tokens)


def _lengths(profile: Profile, items: Sequence[PlacedImage]) -> list[int]:
    """Tokens of every caption without chance. Raises a ``UserError`` if the base gives no tokenizer."""
    if not locate(profile.model.base).exists():  # a base on the hub is not fetched for this
        raise UserError("the base is not on this machine", where=profile.model.base)
    from engine.model.conditioning import TextRules, tokenize  # noqa: PLC0415 - torch, for tokens alone
    from engine.model.open_base import open_base  # noqa: PLC0415

    tokenizer, _ = open_base(profile.model.base).tokenizers()
    rules = TextRules(profile.captions.max_tokens, profile.captions.weights)
    lengths: dict[str, int] = {}
    for item in items:
        caption = item.plain_caption
        if caption not in lengths:
            lengths[caption] = len(tokenize(tokenizer, caption, rules).ids)
    return [lengths[item.plain_caption] for item in items]
