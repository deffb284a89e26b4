"""The ways in which an image is seen: where it is cropped, which side round, and what a visit makes of both. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.data.buckets import Placement, time_ids
from engine.data.captions import CaptionRules
from engine.data.order import Visit
from engine.data.scan import SourceImage


@dataclass(frozen=True)
class View:
    """One way in which an image is seen."""

    image: SourceImage
    placement: Placement
    flipped: bool = False
    """Mirrored, left for right, after it was placed."""

    @property
    def time_ids(self) -> tuple[int, int, int, int, int, int]:
        """As of ``buckets.time_ids``."""
        return time_ids(self.image.width, self.image.height, self.placement, flipped=self.flipped)


@dataclass(frozen=True)
class PlacedImage:
    """An image of the training set, the places it is cropped at in its bucket, and what becomes of its caption."""

    image: SourceImage
    placement: Placement
    """Around the centre."""
    crops: tuple[Placement, ...] = ()
    """At random places; none: around the centre."""
    flips: bool = False
    """It is also seen mirrored."""
    rules: CaptionRules = field(default_factory=CaptionRules)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """The places it is really cropped at."""
        return self.crops or (self.placement,)

    @property
    def views(self) -> tuple[View, ...]:
        """Every different way in which it is seen; the first one is the one without chance."""
        sides = (False, True) if self.flips else (False,)
        views = (View(self.image, placement, flipped) for placement in self.placements for flipped in sides)
        return tuple(dict.fromkeys(views))

    def seen_at(self, visit: Visit) -> View:
        """The view of one visit: each crop and each side is equally likely."""
        placements = self.placements
        crop = int(visit.chance("crop").random() * len(placements)) if len(placements) > 1 else 0
        return View(self.image, placements[crop], self.flips and visit.chance("flip").random() < 0.5)

    def caption_at(self, visit: Visit) -> str:
        """The caption of one visit."""
        return self.rules.drawn(self.image.lines, visit.chance("caption"))

    @property
    def plain_caption(self) -> str:
        """The caption without chance."""
        return self.rules.plain(self.image.lines)
