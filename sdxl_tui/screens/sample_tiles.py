"""Sample pictures as tiles: in half blocks at once, and as the terminal itself draws them where it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import App

from sdxl_tui.fleet.sample_pictures import Picture, PictureError, read_picture, read_png
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.pictures import PlacedPicture, cell_size, pictures_of
from sdxl_tui.widgets.gallery import Tile


@dataclass(frozen=True)
class TileSize:
    """Cells across and lines that a tile's picture may take."""

    columns: int
    rows: int


def sample_tiles(
    app: App[Any],
    pictures: Sequence[tuple[Path, str]],
    size: TileSize,
    is_cancelled: Callable[[], bool],
    show: Callable[[list[Tile], str], None],
) -> None:
    """Read ``pictures`` (each with its caption) and ``show`` their tiles, once or twice; call it in a thread.

    show: called with the tiles and with what would make them sharper. What a terminal that draws pictures has to be sent
    first is shown in half blocks meanwhile: a slow link takes seconds.
    """
    terminal = pictures_of(app)
    graphics, cell = terminal.graphics(), cell_size()

    def sharp(path: Path) -> PlacedPicture | None:
        key = _key(path, size, cell)
        return terminal.held(key) or terminal.place(key, read_png(path, size.columns, size.rows, cell), is_cancelled)

    if not graphics.kitty or not all(terminal.held(_key(path, size, cell)) for path, _ in pictures):
        show(_tiles(pictures, lambda path: read_picture(path, size.columns, size.rows)), graphics.hint)
    if graphics.kitty and not is_cancelled():
        tiles = _tiles(pictures, sharp)
        if not is_cancelled():
            show(tiles, "")


def _tiles(pictures: Sequence[tuple[Path, str]], read: Callable[[Path], Picture | PlacedPicture | None]) -> list[Tile]:
    """What cannot be read has its reason instead."""
    tiles = []
    for path, caption in pictures:
        try:
            tiles.append(Tile(read(path) or "", caption))
        except PictureError as error:
            tiles.append(Tile(clean(f"{error.what}: {path.name}", limit=200), caption))
    return tiles


def _key(path: Path, size: TileSize, cell: tuple[int, int]) -> object:
    """What a picture in the terminal's memory is known by: another file of the same name is another picture."""
    try:
        found = path.stat()
    except OSError:
        return path, size, cell
    return path, found.st_ino, found.st_mtime_ns, found.st_size, size, cell
