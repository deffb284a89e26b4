"""What a LoRA file says of the pictures it was trained on, in sd-scripts' ``ss_*`` entries: folders, tags, buckets. Torch-free.

A1111, Forge and their kin show these: the tags as suggestions for a prompt, the buckets as the resolution and size of the set.
Names of folders and words of captions go in, never paths or names of files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from engine.data.views import PlacedImage
from engine.profile.schema import Dataset

MOST_TAGS: Final = 1000
"""Per folder, the most frequent ones: captions that are sentences would else make a header of megabytes."""


def data_record(items: Sequence[PlacedImage], dataset: Dataset) -> dict[str, object]:
    """The entries on ``items``, those of ``dataset`` that are trained on; at least one."""
    names = _folder_names(dataset)
    folders: dict[bool, dict[str, dict[str, int]]] = {False: {}, True: {}}
    tags: dict[str, Counter[str]] = {}
    for number, source in enumerate(dataset.sources):
        own = [item for item in items if item.image.source == number]
        if own:
            folders[source.regularisation][names[number]] = {"n_repeats": source.repeats, "img_count": len(own)}
            tags[names[number]] = Counter(tag for item in own for tag in _tags(item))
    frequencies = {name: dict(counts.most_common(MOST_TAGS)) for name, counts in tags.items()}
    return {
        "ss_dataset_dirs": json.dumps(folders[False]),
        "ss_reg_dataset_dirs": json.dumps(folders[True]),
        "ss_tag_frequency": json.dumps(frequencies, ensure_ascii=False),
        "ss_bucket_info": json.dumps(_buckets(items) if dataset.buckets else None),
    }


def _folder_names(dataset: Dataset) -> list[str]:
    """The sources' folders without what they lie in; a name that comes again is numbered."""
    found: list[str] = []
    seen: Counter[str] = Counter()
    for source in dataset.sources:
        name = Path(source.path).name or "images"
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _tags(item: PlacedImage) -> list[str]:
    """Of the caption without chance, trigger included; in small letters, as sd-scripts counts them."""
    return [tag for part in item.plain_caption.split(item.rules.separator) if (tag := part.strip().lower())]


def _buckets(items: Sequence[PlacedImage]) -> dict[str, Any]:
    """Sizes with the number of visits per epoch, and by how much, on average, the aspect ratios of picture and bucket differ."""
    sizes: Counter[tuple[int, int]] = Counter()
    for item in items:
        sizes[item.placement.bucket_width, item.placement.bucket_height] += item.image.repeats
    errors = [
        abs(item.placement.bucket_width / item.placement.bucket_height - item.image.width / item.image.height)
        for item in items
    ]
    return {
        "buckets": {
            str(number): {"resolution": list(size), "count": sizes[size]} for number, size in enumerate(sorted(sizes))
        },
        "mean_img_ar_error": fmean(errors),
    }
