"""A real Textual app that shows one hostile text in many widgets; run under a pty by the test beside it.

argv[1]: ``guarded`` or ``unguarded``.
"""

from __future__ import annotations

import sys

from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Input, Label, OptionList, RichLog, Static, TextArea, Tree

from sdxl_tui.terminal.guard import guard_stream, install_guard

HOSTILE = (
    "A\x1b]0;PWNED-TITLE\x07B\x1b]52;c;UFdORUQ=\x1b\\C\x1b]8;;http://pwned.example\x1b\\D\x1b[41mE"
    "\x9b42mF\x9d0;PWNED-C1\x9cG\u202eH\u2066I\x00J\x07K\u200bL\x85M"
)


class HostileApp(App[object]):
    """Every widget shows ``HOSTILE``; after the first frames the app ends by itself with a hostile message."""

    CSS = "VerticalScroll > * { height: 3; } #bordered { border: round white; height: 3; }"
    TITLE = HOSTILE

    def compose(self) -> ComposeResult:
        """One of each widget that shows text from outside."""
        with VerticalScroll():
            yield Static(HOSTILE, markup=False)
            yield Label(Text(HOSTILE, style="bold link http://pwned.example/link"))
            yield DataTable[str]()
            yield Input(value=HOSTILE)
            yield TextArea(HOSTILE)
            yield RichLog()
            yield Tree(Text(HOSTILE))
            yield OptionList(Text(HOSTILE))
            bordered = Static("border", id="bordered")
            bordered.border_title = HOSTILE
            bordered.border_subtitle = HOSTILE
            yield bordered

    def on_mount(self) -> None:
        """Fill what is filled by calls, and end after the frames are out."""
        table = self.query_one(DataTable)
        table.add_column(Text(HOSTILE))
        table.add_row(Text(HOSTILE))
        self.query_one(RichLog).write(Text(HOSTILE))
        self.notify(HOSTILE, title=HOSTILE, markup=False)
        self.set_timer(0.6, lambda: self.exit(message=Text(HOSTILE)))


if __name__ == "__main__":
    app = HostileApp()
    if sys.argv[1] == "guarded":
        install_guard()
        guard_stream(app, sys.stderr)
    app.run()
