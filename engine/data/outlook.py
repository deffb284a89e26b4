"""What a profile's data set would come to, before anything is encoded or trained. Torch-free.

Files are read and headers looked at, no picture is decoded: one that is cut short is found when it is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from engine.errors import UserError
from engine.profile.schema import Profile

CountTokens = Callable[[Profile, Sequence[PlacedImage]], list[int]]
"""The length of every image's caption in tokens. Raises ``UserError`` if that cannot be known."""


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


def outlook_of(profile: Profile, scan: Scan, count: CountTokens | None = None) -> DataOutlook:
    """What the images of ``scan``, which were found for ``profile``, come to. Raises ``DatasetError`` if no bucket fits.

    count: gives the length of every caption; where it raises a ``UserError``, that is remarked on.
    """
    training = profile.training
    items = in_order(place_images(scan.images, profile.dataset, profile.captions))
    told = remarks(scan, items)
    tokens: list[int] | None = None
    if count is not None:
        try:
            tokens = count(profile, items)
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
