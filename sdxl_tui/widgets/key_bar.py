"""The line at the bottom: the keys that work here and now, most specific first; help and quit keep the right edge.

It shows the bindings with ``show=True`` of the focused widget, its screen and the app. What has no room is left out from the
end; the help page lists everything.
"""

from __future__ import annotations

from typing import ClassVar, Final

from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget

KEY_NAMES: Final = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "enter": "⏎",
    "space": "space",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "plus": "+",
    "minus": "-",
    "full_stop": ".",
    "comma": ",",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "delete": "del",
    "shift+tab": "⇧tab",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}
GAP: Final = "  "


def key_name(key: str) -> str:
    """How a key is written: ``^s`` for ctrl+s, ``?`` for question_mark."""
    if key.startswith("ctrl+"):
        return "^" + key_name(key.removeprefix("ctrl+"))
    return KEY_NAMES.get(key, key.upper() if key.startswith("f") and key[1:].isdecimal() else key)


class KeyBar(Widget):
    """One line of keys, refreshed only when they change."""

    DEFAULT_CSS = """
    KeyBar {
        dock: bottom; height: 1; background: $panel; color: $text-muted; padding: 0 1;
        & > .key-bar--key { color: $primary; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key"}
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self._left: list[tuple[str, str, str]] = []
        self._right: list[tuple[str, str, str]] = []
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self._bindings_changed(self.screen)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        before = self._left, self._right
        self._left, self._right = [], []
        seen: set[str] = set()
        quiet: frozenset[str] = getattr(screen, "quiet_actions", frozenset())
        for key, (node, binding, enabled, _) in screen.active_bindings.items():
            if not binding.show or not enabled or binding.action in seen or binding.action.partition("(")[0] in quiet:
                continue
            seen.add(binding.action)
            entry = (binding.key_display or key_name(key), binding.description, key)
            (self._right if node is self.app else self._left).append(entry)
        if (self._left, self._right) != before:
            self.refresh()

    def render(self) -> Content:
        style = self.get_visual_style("key-bar--key", partial=True)
        width = self.content_size.width
        right_width = sum(len(name) + len(words) + 1 + len(GAP) for name, words, _ in self._right)
        line = Content("")
        self._spans = []
        for name, words, key in self._left:
            entry = Content.assemble((name, style), f" {words}")
            if line.cell_length + entry.cell_length + right_width > width:
                break
            self._spans.append((line.cell_length, line.cell_length + entry.cell_length, key))
            line += entry + Content(GAP)
        line += Content(" " * max(0, width - line.cell_length - right_width + len(GAP)))
        for name, words, key in self._right:
            entry = Content.assemble((name, style), f" {words}")
            self._spans.append((line.cell_length, line.cell_length + entry.cell_length, key))
            line += entry + Content(GAP)
        return line.truncate(width)

    def on_click(self, event: Click) -> None:
        """A click on a key presses it."""
        at = event.x - self.styles.padding.left
        for start, end, key in self._spans:
            if start <= at < end:
                self.app.simulate_key(key)
