"""A text area for TOML with its own light colouring, so that no parser package has to be installed on a training box."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rich.style import Style
from rich.text import Text
from textual.widgets import TextArea

TOKENS: Final = re.compile(
    r"(?P<comment>\#.*$)"
    r"|(?P<table>^\s*\[\[?[^\]\n]*\]\]?)"
    r"|(?P<key>^\s*[A-Za-z0-9_.\-\"']+(?=\s*=))"
    r"|(?P<text>\"\"\".*?(?:\"\"\"|$)|'''.*?(?:'''|$)|\"(?:[^\"\\]|\\.)*\"?|'[^']*'?)"
    r"|(?P<word>\b(?:true|false)\b)"
    r"|(?P<number>(?<![\w.])[+-]?(?:\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?|inf|nan)(?![\w.]))"
)
"""What one line of TOML is made of. Texts over several lines are only coloured in their first one."""

COLOURS: Final = {
    "comment": "text-muted",
    "table": "accent",
    "key": "primary",
    "text": "success",
    "word": "warning",
    "number": "warning",
}
"""Token to the theme's variable."""


class TomlEditor(TextArea):
    """A ``TextArea`` whose lines are coloured as TOML in the theme's colours."""

    DEFAULT_CSS = """
    TomlEditor {
        border: none; padding: 0; background: transparent;
        &:focus { border: none; }
    }
    """

    def show_text(self, text: str) -> None:
        """Replace the text; the cursor goes to the first line that differs, if it had any before."""
        before, after = self.text.split("\n"), text.split("\n")
        line = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
        was_empty = not self.text
        self.load_text(text)
        if not was_empty:
            self.move_cursor((line, len(after[line])), center=True)

    def go_to_table(self, name: str) -> None:
        """Put the cursor on the first line of a table, on the first line of all for the top level."""
        lines = (
            at for at, line in enumerate(self.text.split("\n")) if re.match(rf"\s*\[\[?\s*{re.escape(name)}\b", line)
        )
        line = next(lines, None) if name else 0
        if line is not None:
            self.move_cursor((line, 0), center=True)

    def go_to_next(self, lines: Sequence[int]) -> None:
        """Put the cursor on the next of these lines (from 1), after the last on the first again."""
        here = self.cursor_location[0] + 1
        if lines:
            line = next((line for line in lines if line > here), lines[0])
            self.move_cursor((line - 1, 0), center=True)

    def get_line(self, line_index: int) -> Text:
        """The line, coloured."""
        line = super().get_line(line_index)
        variables = self.app.theme_variables
        for token in TOKENS.finditer(line.plain):
            kind = token.lastgroup or ""
            colour = variables.get(COLOURS[kind], "")
            style = Style(color=colour, bold=kind == "table") if colour.startswith("#") else Style(dim=True)
            line.stylize(style, token.start(), token.end())
        return line
