"""Help on the screen one came from: what it is for, and every key that works there, in groups."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from sdxl_tui.screens.dialog import Dialog
from sdxl_tui.screens.place import Place
from sdxl_tui.widgets.key_bar import key_name

ANYWHERE = (
    ("1 2 3", "Runs, Profiles, Checkpoints (F1 F2 F3 also while typing)"),
    ("esc", "Back"),
    ("tab", "Next part of the screen, ⇧tab the one before"),
    ("?", "This help"),
    ("^l", "Draw the screen anew, should another program have written over it"),
    ("^z", "To the shell; fg comes back"),
    ("^p", "Everything by its words: commands, themes, runs"),
    ("q", "Quit; runs go on without the app"),
)


class HelpScreen(Dialog[None]):
    """Text and keys of one screen; any of esc, ?, q closes it."""

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        & > VerticalScroll {
            width: 76; max-width: 100%; height: auto; max-height: 100%;
            background: $surface; border: round $primary; padding: 1 2;
            border-title-color: $foreground; border-title-style: bold; border-subtitle-color: $text-muted;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Close"),
        Binding("j", "scroll('down')", show=False),
        Binding("k", "scroll('up')", show=False),
    ]

    def __init__(self, about: Place) -> None:
        super().__init__()
        self._topic = about.topic
        self._about = about.about
        self._keys = keys_of(about)

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = Content(self._topic)
            box.border_subtitle = Content("esc closes")
            yield Static(self._text())

    def _text(self) -> Content:
        parts: list[Content] = [Content(paragraph + "\n") for paragraph in self._about]
        anywhere = [(key, words) for key, words in ANYWHERE if not any(key in here.split() for here, _ in self._keys)]
        for heading, keys in (("Here", self._keys), ("Anywhere", anywhere)):
            if keys:
                parts.append(Content.styled(heading, "bold $text-muted"))
                parts += [Content.assemble((f"{key:>12}", "bold $primary"), f"  {words}") for key, words in keys]
                parts.append(Content(""))
        return Content("\n").join(parts).rstrip()

    def action_scroll(self, direction: str) -> None:
        """Scroll by a line."""
        box = self.query_one(VerticalScroll)
        box.scroll_down() if direction == "down" else box.scroll_up()


def keys_of(screen: Screen[Any]) -> tuple[tuple[str, str], ...]:
    """The keys that work on ``screen`` now, without those that work anywhere: (keys, what they do), one line per action.

    Those of the key bar come first, in its order.
    """
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    shown: list[str] = []
    quiet: frozenset[str] = getattr(screen, "quiet_actions", frozenset())
    for key, (node, binding, _, _) in screen.active_bindings.items():
        action = binding.action
        if node is screen.app or not binding.description or action.startswith(("app.", "screen.")) or action in quiet:
            continue
        keys.setdefault(action, []).append(binding.key_display or key_name(key))
        words.setdefault(action, binding.description)
        if binding.show and action not in shown:
            shown.append(action)
    order = [*shown, *(action for action in keys if action not in shown)]
    return tuple((" ".join(keys[action]), words[action]) for action in order)
