"""The command palette (Ctrl-P): everything that can be done here, found by typing a part of its words.

What the screen in front and the part in focus can do now, the places, the themes, and every run by its name. Nothing is only in
the palette.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual.app import App
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.screen import Screen

from sdxl_tui.config import ThemeName
from sdxl_tui.screens.place import OpenRun, Place
from sdxl_tui.terminal.clean import clean
from sdxl_tui.widgets.key_bar import key_name

if TYPE_CHECKING:
    from sdxl_tui.fleet.runs import RunSummary

RUNS_AT_FIRST = 8
"""Runs that are listed before anything is typed."""


class Command(NamedTuple):
    """One line of the palette."""

    words: str
    help: str
    act: Callable[[], Awaitable[object] | object]


class PlaceCommands(Provider):
    """What a place and the app can do."""

    async def discover(self) -> Hits:
        """All of it, before anything is typed."""
        for command in self._commands(RUNS_AT_FIRST):
            yield DiscoveryHit(Content(command.words), self._act(command), text=command.words, help=command.help)

    async def search(self, query: str) -> Hits:
        """What fits the letters typed."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.words)
            if score > 0:
                words = matcher.highlight(command.words)
                yield Hit(score, words, self._act(command), text=command.words, help=command.help)

    def _act(self, command: Command) -> Callable[[], object]:
        return command.act

    def _commands(self, most_runs: int | None = None) -> Iterator[Command]:
        yield from self._keys()
        if self.screen.active_bindings.get("ctrl+l", (None,))[0] is not self.app:
            yield from self._redraw()
        yield from self._themes()
        runs: tuple[RunSummary, ...] = getattr(self.app, "runs", None) or ()
        for run in runs[:most_runs]:
            yield Command(f"Open {clean(run.id)}", f"{run.state.value} run", partial(self._open, run.id))

    def _keys(self) -> Iterator[Command]:
        """What has a key here and now; each action once, those of the key bar first. Moving about has no words."""
        found: dict[str, tuple[bool, Command]] = {}
        for key, (node, binding, enabled, _) in self.screen.active_bindings.items():
            is_moving = not binding.show and not isinstance(node, Screen | App)
            if not enabled or not binding.description or is_moving or binding.action in {*found, "command_palette"}:
                continue
            act = partial(self.app.run_action, binding.action, node)
            command = Command(binding.description, f"key {binding.key_display or key_name(key)}", act)
            found[binding.action] = (binding.show, command)
        for shown in (True, False):
            yield from (command for is_shown, command in found.values() if is_shown is shown)

    def _redraw(self) -> Iterator[Command]:
        """Where its key means something else."""
        yield Command("Draw the screen anew", "should another program have written over it", self._draw)

    def _draw(self) -> None:
        self.app.call_after_refresh(self.app.run_action, "redraw")

    def _themes(self) -> Iterator[Command]:
        for name in ThemeName:
            words = f"Theme: {name.value}"
            yield Command(
                words, 'until the app is closed; for good: theme = "…" in config.toml', partial(self._theme, name)
            )

    def _theme(self, name: ThemeName) -> None:
        from sdxl_tui.theme import THEMES  # noqa: PLC0415

        self.app.theme = THEMES[name].name

    def _open(self, run_id: str) -> None:
        if isinstance(self.screen, Place):
            self.screen.post_message(OpenRun(run_id))
