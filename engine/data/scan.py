"""Which images, captions and masks the sources of a data set hold, with the size and digest of each.

Looks at every file once and decodes none: a picture that turns out to be cut short is found and left out by
``prepare.py``. Torch-free, so that a data set can be looked at without loading the training libraries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.data.captions import lines_of
from engine.data.errors import DatasetError, PreparationStopped, shown
from engine.data.folders import Folder, list_folder
from engine.data.image import EXTENSIONS, UnreadableImageError
from engine.data.metadata import Metadata, read_metadata
from engine.data.picture import Look, look_at_picture
from engine.data.progress import Report, ShouldStop, never_stop, report_to_nobody
from engine.data.regular_file import UnreadableFileError, read_regular_file
from engine.demo import locate
from engine.profile.schema import Source

CAPTION_ENDINGS: Final = (".txt", ".caption")
"""Those in use."""
MAX_CAPTION_BYTES: Final = 64 * 1024
MASK_SHAPE_TOLERANCE: Final = 0.01
"""By how much, relative, the aspect ratio of a mask may differ from its image's: rounding, not another picture."""


@dataclass(frozen=True)
class MaskFile:
    """A picture whose brightness says how much each place counts."""

    path: Path
    digest: str
    """sha256 of the file's content, in hex."""


@dataclass(frozen=True)
class SourceImage:
    """An image file of a source, as it was when it was scanned."""

    path: Path
    lines: tuple[str, ...]
    """Its caption; none if there is none or it is empty."""
    repeats: int
    width: int
    """Pixels, upright."""
    height: int
    digest: str
    """sha256 of the file's content, in hex."""
    source: int = 0
    """Which of the profile's sources it belongs to."""
    loss_weight: float = 1.0
    is_regularisation: bool = False
    is_transparent: bool = False
    """It has an alpha channel or a transparent colour."""
    is_animated: bool = False
    """It has several frames, of which only the first one is seen."""
    alpha_mask: bool = False
    """Its transparency is its mask."""
    mask_file: MaskFile | None = None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @property
    def caption(self) -> str:
        """The caption as one line; empty if there is none."""
        return " ".join(self.lines)

    @property
    def has_mask(self) -> bool:
        """Not all of it counts in the loss."""
        return self.alpha_mask or self.mask_file is not None


@dataclass(frozen=True)
class Skipped:
    """A file that was left out."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """What the sources hold."""

    images: tuple[SourceImage, ...]
    """By source in the profile's order, then by name; never empty."""
    skipped: tuple[Skipped, ...]
    uncaptioned: tuple[Path, ...]
    """Images without a caption file or metadata, which are trained without a caption of their own."""
    empty_sources: tuple[Path, ...]
    """Folders that hold nothing that could be an image."""
    maskless: tuple[Path, ...] = ()
    """Images of sources with masks that have none and are trained whole."""
    unused: tuple[tuple[Path, tuple[str, ...]], ...] = ()
    """Metadata files with the keys for which there is no image."""
    other_captions: tuple[Path, ...] = ()
    """Files beside uncaptioned images that look like their captions, but have another ending than the source says."""


class _UnreadableCaptionError(Exception):
    """There is a caption file, but not one that can be read; the text says why."""


class _UnreadableMaskError(Exception):
    """There is a mask, but not one that can be used; the text says why."""


@dataclass
class _Place:
    """A source while it is scanned."""

    index: int
    source: Source
    folder: Folder
    metadata: Metadata | None
    masks: dict[str, Path] = field(default_factory=dict)
    """Masks by the image's path from the folder, without ending."""


def scan_sources(
    sources: Sequence[Source],
    *,
    smallest: int = 0,
    report: Report = report_to_nobody,
    should_stop: ShouldStop = never_stop,
    look: Look = look_at_picture,
) -> Scan:
    """The images of ``sources`` that can be opened, and what was left out of them with the reason.

    Files count by their extension (``image.EXTENSIONS``, any case), hidden ones not at all; links to files are
    followed; pictures of other formats are left out by name. A caption is the source's metadata for the image, else the
    file of the same stem with the source's caption extension: UTF-8, at most 64 KB. An image whose caption or mask is
    there but cannot be read is left out, rather than trained with the wrong words. smallest: shorter sides below it are
    left out. look: how a picture is read.

    Reports "images". Raises ``DatasetError`` if a folder or metadata file cannot be read or no image is left,
    ``PreparationStopped`` if asked to.
    """
    named = dict.fromkeys(locate(source.metadata) for source in sources if source.metadata is not None)
    metadata = {path: read_metadata(path) for path in named}
    places = [_place(index, source, metadata) for index, source in enumerate(sources)]
    total = sum(len(place.folder.files) for place in places)
    images: list[SourceImage] = []
    skipped = [skipped for place in places for skipped in _unread(place.folder)]
    uncaptioned: list[Path] = []
    other_captions: list[Path] = []
    maskless: list[Path] = []
    for done, (place, path) in enumerate(_files(places), 1):
        if should_stop():
            raise PreparationStopped
        try:
            image, has_caption = _scan_image(path, place, smallest, look)
        except (UnreadableImageError, _UnreadableCaptionError, _UnreadableMaskError) as error:
            skipped.append(Skipped(path, str(error)))
        else:
            images.append(image)
            if not has_caption:
                uncaptioned.append(path)
                other_captions += _other_captions(path, place.source.caption_extension)
            if (place.source.alpha_mask or place.source.mask_folder is not None) and not image.has_mask:
                maskless.append(path)
        report("images", done, total)
    if not images:
        has_folders = any(place.folder.has_folders for place in places)
        raise nothing_left(folders_of(sources), skipped, has_folders=has_folders)
    return Scan(
        tuple(images),
        tuple(skipped),
        tuple(uncaptioned),
        empty_sources=tuple(place.folder.path for place in places if not place.folder.files),
        maskless=tuple(maskless),
        unused=tuple((path, one.unused) for path, one in metadata.items() if one.unused),
        other_captions=tuple(other_captions),
    )


def _unread(folder: Folder) -> Iterator[Skipped]:
    for name in folder.unread:
        kind = name.suffix.removeprefix(".").upper()
        yield Skipped(folder.path / name, f"{kind} pictures are not read: save it as PNG, JPEG, WebP or BMP")


def _other_captions(image: Path, ending: str) -> Iterator[Path]:
    for other in CAPTION_ENDINGS:
        if other != ending and image.with_suffix(other).is_file():
            yield image.with_suffix(other)


def folders_of(sources: Sequence[Source]) -> list[Path]:
    """The folders that ``sources`` name."""
    return [locate(source.path) for source in sources]


def nothing_left(folders: Sequence[Path], skipped: Sequence[Skipped], *, has_folders: bool = False) -> DatasetError:
    """The error that says why there is no image to train on."""
    where = ", ".join(shown(folder) for folder in folders)
    if not skipped:
        kinds = ", ".join(sorted(EXTENSIONS))
        hint = f"Images end in {kinds}."
        if has_folders:
            hint += " Folders inside are not searched: set recursive = true in the source."
        return DatasetError("no image in the data set", where=where, hint=hint)
    shown_reasons = "; ".join(str(one) for one in skipped[:3])
    more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    count = "the only image" if len(skipped) == 1 else f"none of {len(skipped)} images"
    verb = "cannot" if len(skipped) == 1 else "can"
    return DatasetError(
        f"{count} {verb} be used: {shown_reasons}{more}", where=where, hint="Replace or re-export them."
    )


def _place(index: int, source: Source, metadata: Mapping[Path, Metadata]) -> _Place:
    mask_folder = None if source.mask_folder is None else locate(source.mask_folder)
    folder = list_folder(locate(source.path), recursive=source.recursive, without=mask_folder)
    place = _Place(index, source, folder, None if source.metadata is None else metadata[locate(source.metadata)])
    if mask_folder is not None:
        masks = list_folder(mask_folder, recursive=source.recursive, setting="mask_folder of a source")
        place.masks = {str(name.with_suffix("")): mask_folder / name for name in masks.files}
    return place


def _files(places: Sequence[_Place]) -> Iterator[tuple[_Place, Path]]:
    for place in places:
        for name in place.folder.files:
            yield place, place.folder.path / name


def _scan_image(path: Path, place: _Place, smallest: int, look: Look) -> tuple[SourceImage, bool]:
    """The image, and whether it has a caption."""
    source = place.source
    picture = look(path)
    facts = picture.facts
    if min(facts.width, facts.height) < smallest:
        side = min(facts.width, facts.height)
        raise UnreadableImageError(f"its shorter side has {side} px: below dataset.smallest_image {smallest}")
    lines = place.metadata.lines(path, place.folder.path) if place.metadata else None
    if lines is None:
        caption_file = path.with_suffix(source.caption_extension)
        try:
            lines = _read_caption(caption_file)
        except _UnreadableCaptionError as error:
            raise _UnreadableCaptionError(f"its caption {shown(caption_file.name)}: {error}") from error
    mask = place.masks.get(str(path.relative_to(place.folder.path).with_suffix("")))
    image = SourceImage(
        path,
        lines or (),
        source.repeats,
        facts.width,
        facts.height,
        picture.digest,
        source=place.index,
        loss_weight=source.prior_weight if source.regularisation else 1.0,
        is_regularisation=source.regularisation,
        is_transparent=facts.is_transparent,
        is_animated=facts.is_animated,
        alpha_mask=source.alpha_mask and facts.is_transparent,
        mask_file=None if mask is None else _scan_mask(mask, facts.width, facts.height, look),
    )
    return image, lines is not None


def _scan_mask(path: Path, width: int, height: int, look: Look) -> MaskFile:
    """Raises ``_UnreadableMaskError`` if it is no picture of the shape ``width`` × ``height``."""
    try:
        picture = look(path)
    except UnreadableImageError as error:
        raise _UnreadableMaskError(f"its mask {shown(path)}: {error}") from error
    facts = picture.facts
    one, other = facts.width * height, facts.height * width
    if max(one, other) > min(one, other) * (1 + MASK_SHAPE_TOLERANCE):
        raise _UnreadableMaskError(
            f"its mask {shown(path)} has another shape: {facts.width} × {facts.height} px, the image {width} × {height}"
        )
    return MaskFile(path, picture.digest)


def _read_caption(path: Path) -> tuple[str, ...] | None:
    """The caption's lines, or None if there is no such file."""
    try:
        data = read_regular_file(path, limit=MAX_CAPTION_BYTES)
    except UnreadableFileError as error:
        raise _UnreadableCaptionError(str(error)) from error
    if data is None:
        return None
    if b"\0" in data:
        raise _UnreadableCaptionError("not text: it holds a zero byte")
    try:
        return lines_of(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _UnreadableCaptionError(f"not UTF-8 (byte {error.start + 1})") from error
