"""A run's log: its end, followed; or any other part of it, found by scrolling up or by a search. Errors and warnings coloured.

Only the end is kept in memory. What lies before it is read in threads, a page at a time, when it is scrolled to or found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from sdxl_tui.fleet.log_pages import LogPage, LogPages, LogPattern
from sdxl_tui.fleet.log_tail import LogLine, LogPlace
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_percent
from sdxl_tui.widgets.line_view import LineView
from sdxl_tui.widgets.painted import Piece, Row

STAMP: Final = re.compile(r"(?:\d{4}-\d\d-\d\d )?(\d\d:\d\d:\d\d)(?:[.,]\d+)?\s+")
STAMP_CELLS: Final = 9
"""A time and a blank."""
ERROR: Final = re.compile(
    r"Traceback \(most recent|\b\w{0,80}(?:Error|Exception|error)\b:|\bCUDA out of memory\b|\b(?:ERROR|CRITICAL|FATAL)\b"
)
WARNING: Final = re.compile(r"\b(?:WARNING|Warning|warning)\b|\w+Warning:")
HIT: Final = "$background on $warning"
"""In the line that a search stands at."""
OTHER_HIT: Final = "$foreground on $warning 30%"
FIRST: Final = LogPlace(1, 0)
LEFT_ABOVE: Final = 3
"""Rows that are shown above a line that was found."""


class Level(Enum):
    """Which lines are shown; the value is what is said of it."""

    ALL = ""
    WARNINGS = "warnings and errors only"
    ERRORS = "errors only"


@dataclass(frozen=True)
class Search:
    """What is looked for. said: in words; hits: what is marked in the lines shown."""

    said: str
    pattern: LogPattern
    hits: re.Pattern[str]
    backwards: bool = False

    @classmethod
    def of(cls, text: str, *, backwards: bool) -> Search:
        """For these very characters; letters from a to z in either case."""
        hits = re.compile(re.escape(text), re.IGNORECASE)
        return cls(f"“{clean(text, limit=40)}”", LogPattern.of(text), hits, backwards)


ERROR_NEEDLES: Final = (b"traceback (most", b"error", b"exception", b"cuda out of memory", b"critical", b"fatal")
FIRST_ERROR: Final = Search("an error", LogPattern(re.compile(ERROR.pattern.encode()), ERROR_NEEDLES), ERROR)


class LogView(LineView):
    """``show_log(lines, unfinished, dropped)`` with what a ``LogTail`` holds.

    pages: where all of the log is read. ask: lets the user type what is looked for, at once, so that what is typed in the same
    breath does not arrive at the keys here.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "ask_search", "Search"),
        Binding("n", "search_on(False)", "Next match"),
        Binding("N", "search_on(True)", "Match before", show=False),
        Binding("e", "first_error", "First error of the log", show=False),
        Binding("w", "level", "Only warnings, only errors, all lines", show=False),
    ]

    def __init__(
        self, pages: LogPages, ask: Callable[[], None], *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(follows=True, empty="Nothing has been printed yet", hang=STAMP_CELLS, id=id, classes=classes)
        self._pages = pages
        self._ask = ask
        self._dropped = 0
        self._tail: tuple[tuple[LogLine, ...], str] = ((), "")
        self._shown: list[LogLine] = []
        self._page: LogPage | None = None
        """What is read instead of the end; None while that is."""
        self._level = Level.ALL
        self._search: Search | None = None
        self._match: LogPlace | None = None
        self._said = ""
        """Of the search."""

    # What is shown

    def show_log(self, lines: tuple[LogLine, ...], unfinished: str, dropped: int) -> None:
        """Show the lines and, as the last one, what is printed without a line end so far."""
        gone, self._dropped = dropped - self._dropped, dropped
        self._tail = lines, unfinished
        if self._page is None:
            self._show_tail(gone)

    def _show_tail(self, gone: int = 0) -> None:
        lines, unfinished = self._tail
        rest = (LogLine(unfinished),) if unfinished else ()
        before = len(self._shown)
        self._shown = [line for line in (*lines, *rest) if self._has_level(line)]
        if self._level is not Level.ALL:
            gone = max(0, before - len(self._shown)) if gone else 0
        self.show(self._marked_rows(), dropped=gone)

    def _show_page(self, page: LogPage, at: LogPlace | None, above: int = 0) -> None:
        """at: the line that stands ``above`` rows below the top; None: the last one, at the bottom."""
        self._page = page
        self._shown = [line for line in page.lines if self._has_level(line)]
        last = len(self._shown) - 1
        found = (index for index, line in enumerate(self._shown) if at and line.place and line.place >= at)
        self.show_from(self._marked_rows(), next(found, last), above)

    def _marked_rows(self) -> list[Row]:
        if self._search is None:
            return [styled(line) for line in self._shown]
        hits, at = self._search.hits, self._match
        return [marked(styled(line), hits, HIT if at and line.place == at else OTHER_HIT) for line in self._shown]

    def _has_level(self, line: LogLine) -> bool:
        if self._level is Level.ALL or line.is_heading:
            return True
        return bool(ERROR.search(line.text) or (self._level is Level.WARNINGS and WARNING.search(line.text)))

    def _place_at_top(self) -> LogPlace | None:
        lines: Sequence[LogLine] = self._shown[self.line_at_top() :]
        return next((line.place for line in lines if line.place), None)

    def subtitle(self) -> str:
        follow = "" if self.is_following else "G follows the end"
        return " · ".join(part for part in (self._level.value, self._said, follow) if part)

    # Scrolling beyond what is in memory

    def action_scroll_by(self, rows: int) -> None:
        """Scroll; at either end of what was read, read on."""
        super().action_scroll_by(rows)
        if rows < 0 and self.rows_above == 0:
            self._read_earlier()
        elif rows > 0 and self.is_at_end and self._page is not None:
            self._read_later()

    def action_top(self) -> None:
        """To the first line of all."""
        if (first := self._first_place()) is None or first <= FIRST:
            super().action_top()
        else:
            self._read(lambda: self._pages.around(FIRST), lambda page: self._show_page(page, FIRST))

    def action_follow(self) -> None:
        """To the last line, and on with it."""
        self._leave_page()
        super().action_follow()

    def _leave_page(self) -> None:
        if self._page is not None:
            self._page = None
            self.is_following = True
            self._show_tail()

    def _read_earlier(self) -> None:
        first = self._first_place()
        if first is not None and first > FIRST and not (self._page and self._page.begins):
            self._read(lambda: self._pages.around(first), lambda page: self._show_page(page, first, above=1))

    def _first_place(self) -> LogPlace | None:
        return next((line.place for line in self._shown if line.place), None)

    def _read_later(self) -> None:
        last = next((line.place for line in reversed(self._shown) if line.place), None)
        if self._page is None or self._page.ends or last is None:
            self._leave_page()
        else:
            above = max(0, self.content_size.height - 2)
            self._read(lambda: self._pages.around(last), lambda page: self._show_page(page, last, above))

    @work(thread=True, exclusive=True, group="log")
    def _read(self, read: Callable[[], LogPage], show: Callable[[LogPage], None]) -> None:
        page = read()
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(show, page)

    # Levels and searches

    def action_level(self) -> None:
        """Of the lines that are in memory, all, those of warnings and errors, or those of errors."""
        levels = list(Level)
        top = self._place_at_top()
        self._level = levels[(levels.index(self._level) + 1) % len(levels)]
        if self._page is None:
            self._show_tail()
        else:
            self._show_page(self._page, top)

    def action_ask_search(self) -> None:
        """Let the user type what is looked for."""
        self._ask()

    def search(self, text: str) -> None:
        """Look for ``text``: from the end upwards while it is followed, else from the top of what is seen downwards."""
        if not text:
            self.forget_search()
            return
        self._search, self._match = Search.of(text, backwards=self.is_following), None
        start = LogPlace(1 << 62, 0) if self.is_following else self._place_at_top()
        self._look(start, backwards=self._search.backwards)

    def action_first_error(self) -> None:
        """The first line of all that tells of an error."""
        self._search, self._match = FIRST_ERROR, None
        self._look(None, backwards=False)

    def action_search_on(self, turned: bool) -> None:
        """The next line that matches, or (turned) the one before it."""
        if self._search is not None:
            self._look(self._match or self._place_at_top(), backwards=self._search.backwards != turned)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a next match only of a search."""
        return self._search is not None if action == "search_on" else True

    def forget_search(self) -> bool:
        """End the search, and mark nothing any more; whether there was one."""
        if self._search is None:
            return False
        self.workers.cancel_group(self, "log")
        self._search, self._match, self._said = None, None, ""
        if self._page is None:
            self._show_tail()
        else:
            self._show_page(self._page, self._place_at_top())
        self.screen.refresh_bindings()
        return True

    @work(thread=True, exclusive=True, group="log")
    def _look(self, start: LogPlace | None, *, backwards: bool) -> None:
        search, worker = self._search, get_current_worker()
        if search is None:
            return
        said = ""

        def tell(share: float) -> None:
            nonlocal said
            if (now := f"looking for {search.said}: {format_percent(share)}") != said:
                said = now
                self.app.call_from_thread(self._say, now, worker.is_cancelled)

        found = self._pages.search(
            search.pattern, start, backwards=backwards, tell=tell, is_cancelled=lambda: worker.is_cancelled
        )
        if found is None or worker.is_cancelled:
            return
        page = None if found.place is None else self._pages.around(found.place)
        self.app.call_from_thread(self._show_found, search, page, found.place, found.around)

    def _say(self, words: str, is_over: bool) -> None:
        if not is_over:
            self._said = words
            self.show_subtitle()

    def _show_found(self, search: Search, page: LogPage | None, place: LogPlace | None, around: bool) -> None:
        if search is not self._search:
            return
        self.screen.refresh_bindings()
        if page is None:
            self._said = f"{search.said} is nowhere in the log"
            self.show_subtitle()
            return
        self._match, self._level = place, Level.ALL
        way = ("n up, N down" if search.backwards else "n down, N up") + (", from the other end" if around else "")
        self._said = f"{search.said}: {way}"
        self._show_page(page, place, LEFT_ABOVE)


def styled(line: LogLine) -> Row:
    """A line with its styles; the date of its time stamp is left out."""
    if line.is_heading:
        return ((f"── {line.text} ──", "$foreground 50%"),)
    stamp = STAMP.match(line.text)
    text = line.text[stamp.end() :] if stamp else line.text
    style = "$error" if ERROR.search(text) else "$warning" if WARNING.search(text) else ""
    return ((f"{stamp[1]} ", "$foreground 40%"), (text, style)) if stamp else ((text, style),)


def marked(row: Row, hits: re.Pattern[str], style_of_hit: str) -> Row:
    """``row`` with what ``hits`` finds in it set off."""
    pieces: list[Piece] = []
    for text, style in row:
        at = 0
        for hit in hits.finditer(text):
            pieces += [(text[at : hit.start()], style), (hit[0], style_of_hit)]
            at = hit.end()
        pieces.append((text[at:], style))
    return tuple(piece for piece in pieces if piece[0])
