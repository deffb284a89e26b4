"""Keys and pastes that arrive in one piece are taken one after the other: over a slow link ``/fox`` comes as one.

Textual hands every key of a piece to what is in focus when the piece arrives, and does what a key is bound to only when it has
come back up to the app. So letters behind a key that opens a text field were lost, those behind ^u were typed before the field
was emptied, and a paste went where the focus had been. Here a key or a paste is handed on when all that the one before it
brought about has been done.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from textual.app import App
from textual.events import Event, Key, Paste
from textual.keys import _character_to_key
from textual.message_pump import MessagePump

PATIENCE: Final = 3.0
"""Seconds that a key waits for the one before it at most: what that went to may be gone. A busy machine may take longer than a
second to open a page, and keys that no longer wait for it go astray.
"""


def keys_of(event: Key) -> list[Key]:
    """One key, or two: Escape and a letter that arrive together are what a terminal sends for Alt and that letter, which
    nothing here is bound to.
    """
    name, character = event.key.removeprefix("alt+"), event.character
    if name == event.key or (name != "enter" and not (character and character.isprintable())):
        return [event]
    key = name if name == "enter" else _character_to_key(character or "")
    return [Key("escape", "\x1b"), Key(key, character)]


class TypesAhead(App[None]):
    """An app that takes keys and pastes one by one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waiting: deque[Key | Paste] = deque()
        self._in_hand: float | None = None
        """When the key that is not done with was handed on."""
        self._acted = False
        """It has come up to here, where what it is bound to was done; what that told others is not done yet."""

    async def on_event(self, event: Event) -> None:
        """Hand a key on, or keep it until it is its turn."""
        if not isinstance(event, Key | Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        self._waiting += [event] if isinstance(event, Paste) else keys_of(event)
        if self._in_hand is not None:
            self.set_timer(PATIENCE, self._let_go)
        else:
            self._in_hand = time.monotonic()
            self.call_later(self._next)  # behind what was left for later, such as the focus of a screen that just came

    async def _hand_on(self, typed: Key | Paste) -> None:
        self._in_hand, self._acted = time.monotonic(), False
        await super().on_event(typed)
        self._follow(self.focused or self.screen)

    def _follow(self, node: MessagePump) -> None:
        """Behind the key, through the queues of all that it goes up through."""
        if not node.call_later(self._followed, node):
            self.call_later(self._next)

    async def _followed(self, node: MessagePump) -> None:
        parent = node._parent
        if node is not self and parent is not None:
            self._follow(parent)
        elif not self._acted:
            self._acted = True
            self._follow(self.focused or self.screen)  # a list that was chosen from tells its screen
        else:
            self.call_later(self._next)  # behind what the key's action left for later, such as a focus

    async def _next(self) -> None:
        self._in_hand = None
        if self._waiting:
            await self._hand_on(self._waiting.popleft())

    async def _let_go(self) -> None:
        """The key in hand was lost on its way; or a later one is in hand by now, which has its own time."""
        if self._in_hand is not None and time.monotonic() - self._in_hand >= PATIENCE:
            await self._next()
