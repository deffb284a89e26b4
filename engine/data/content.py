"""Whether a data set holds what a checkpoint was trained on, wherever its folders lie now. Torch-free; reads every file."""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.image import UnreadableImageError, read_image_file, upright_grey, upright_picture
from engine.data.placing import fingerprint, in_order, place_images
from engine.data.scan import SourceImage, scan_sources
from engine.profile.schema import Captions, Dataset


def is_same_data(dataset: Dataset, captions: Captions, stored: str) -> bool:
    """Whether ``dataset`` read with ``captions`` has the fingerprint that a checkpoint stores.

    Only if it has not are the pictures decoded: those cut short are in no training set. Raises ``DatasetError`` where a
    training would.
    """
    images = scan_sources(dataset.sources, smallest=dataset.smallest_image).images
    if _fingerprint(images, dataset, captions) == stored:
        return True
    readable = [image for image in images if _is_readable(image)]
    return len(readable) < len(images) and _fingerprint(readable, dataset, captions) == stored


def _fingerprint(images: Sequence[SourceImage], dataset: Dataset, captions: Captions) -> str:
    return fingerprint(in_order(place_images(images, dataset, captions)))


def _is_readable(image: SourceImage) -> bool:
    try:
        upright_picture(read_image_file(image.path))
        if image.mask_file is not None:
            upright_grey(read_image_file(image.mask_file.path))
    except UnreadableImageError:
        return False
    return True
