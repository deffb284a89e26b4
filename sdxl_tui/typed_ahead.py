"""Keys that arrive in one piece are taken one after the other, as over a slow link they do: ``/fox`` is a search for ``fox``.

Textual hands every key of a piece to what is in focus when the piece arrives; what a key does comes afterwards. So the letters
behind a key that opens a text field would be lost. They come back to the app unused, and are handed on here.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from textual.app import App
from textual.events import Event, Key
from textual.widget import Widget
from textual.widgets import Input, TextArea


class TypesAhead(App[None]):
    """An app whose text fields get what was typed before they were in focus, but after the key that brought them there."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._sent_to: WeakKeyDictionary[Key, Widget | None] = WeakKeyDictionary()

    async def on_event(self, event: Event) -> None:
        """Hand a key that went to another widget to the text field that is in focus since."""
        if isinstance(event, Key):
            focused = self.focused
            if not event.is_forwarded:
                self._sent_to[event] = focused
            elif isinstance(focused, Input | TextArea) and self._sent_to.get(event, focused) is not focused:
                again = Key(event.key, event.character)
                self._sent_to[again] = focused
                focused._forward_event(again)
                return
        await super().on_event(event)
