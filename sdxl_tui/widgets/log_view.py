"""The end of a run's log, following it: the time of each line dim, errors and warnings coloured."""

from __future__ import annotations

import re
from typing import Final

from sdxl_tui.fleet.log_tail import LogLine
from sdxl_tui.widgets.line_view import LineView
from sdxl_tui.widgets.painted import Row

STAMP: Final = re.compile(r"(?:\d{4}-\d\d-\d\d )?(\d\d:\d\d:\d\d)(?:[.,]\d+)?\s+")
STAMP_CELLS: Final = 9
"""A time and a blank."""
ERROR: Final = re.compile(
    r"Traceback \(most recent|\b\w*(?:Error|Exception|error)\b:|\bCUDA out of memory\b|\b(?:ERROR|CRITICAL|FATAL)\b"
)
WARNING: Final = re.compile(r"\b(?:WARNING|Warning|warning)\b|\w+Warning:")


class LogView(LineView):
    """``show_log(lines, unfinished, dropped)`` with what a ``LogTail`` holds."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(follows=True, empty="Nothing has been printed yet", hang=STAMP_CELLS, id=id, classes=classes)
        self._dropped = 0

    def show_log(self, lines: tuple[LogLine, ...], unfinished: str, dropped: int) -> None:
        """Show the lines and, as the last one, what is printed without a line end so far."""
        rows = [styled(line) for line in lines]
        if unfinished:
            rows.append(styled(LogLine(unfinished)))
        gone, self._dropped = dropped - self._dropped, dropped
        self.show(rows, dropped=gone)


def styled(line: LogLine) -> Row:
    """A line with its styles; the date of its time stamp is left out."""
    if line.is_heading:
        return ((f"── {line.text} ──", "$foreground 50%"),)
    stamp = STAMP.match(line.text)
    text = line.text[stamp.end() :] if stamp else line.text
    style = "$error" if ERROR.search(text) else "$warning" if WARNING.search(text) else ""
    return ((f"{stamp[1]} ", "$foreground 40%"), (text, style)) if stamp else ((text, style),)
