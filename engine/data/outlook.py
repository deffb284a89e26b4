"""``python -m engine dataset``: what a profile's data set would come to, before anything is encoded or trained.

Files are read and headers looked at, no picture is decoded: one that is cut short is found when it is encoded. Only
counting tokens loads a library of the training's, and only the tokenizers of the base.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from engine.data.buckets import BucketRules, bucket_sizes
from engine.data.errors import shown
from engine.data.placing import in_order, place_images
from engine.data.report import DatasetReport, remarks, report_on
from engine.data.scan import scan_sources
from engine.data.views import PlacedImage
from engine.demo import locate
from engine.errors import UserError
from engine.profile.load import load_profile
from engine.profile.schema import Profile


def print_dataset(arguments: argparse.Namespace) -> int:
    """Print the report on the data set of the profile in ``arguments.profile`` as one line of JSON."""
    profile = load_profile(arguments.profile, arguments.overrides).profile
    print(json.dumps(outlook(profile, count_tokens=arguments.tokens)))
    return 0


def outlook(profile: Profile, *, count_tokens: bool = True) -> dict[str, Any]:
    """The ``dataset`` event as it will be, and further: files left out, copies, remarks, epochs; all JSON values.

    Raises ``DatasetError`` where the training would. A base that cannot be opened leaves the lengths of captions open and
    is remarked on.
    """
    dataset, training = profile.dataset, profile.training
    bucket_sizes(BucketRules.of(dataset))
    scan = scan_sources(dataset.sources, smallest=dataset.smallest_image)
    items = in_order(place_images(scan.images, dataset, profile.captions))
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
    return _as_json(report, told, steps=training.steps)


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


def _as_json(report: DatasetReport, told: Sequence[tuple[str, str]], *, steps: int) -> dict[str, Any]:
    return {
        **report.to_json(),
        "steps": steps,
        "epochs": round(steps / report.steps_per_epoch, 2),
        "skipped_files": [{"path": shown(one.path), "reason": one.reason} for one in report.skipped],
        "duplicate_files": [[shown(path) for path in group] for group in report.duplicates],
        "remarks": [{"message": sentence, "where": where} for sentence, where in told],
        "summary": report.lines(),
    }
