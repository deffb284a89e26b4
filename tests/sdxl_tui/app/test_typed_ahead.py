"""Keys and pastes that arrive in one piece do what they do when they are typed slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key, Paste
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from sdxl_tui.typed_ahead import PATIENCE, TypesAhead, keys_of

KEYS = (
    "a",
    "b",
    "slash",
    "g",
    "question_mark",
    "tab",
    "ctrl+u",
    "backspace",
    "escape",
    "x",
    "home",
    "delete",
    "enter",
    "paste",
)


class Pad(Widget, can_focus=True):
    """``/`` goes to the first field, ``x`` removes the second one, ``g`` tells the app to go to the first."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "field"), Binding("x", "remove"), Binding("g", "tell")]

    class Told(Message):
        """Go there."""

    def action_tell(self) -> None:
        """As a list does that was chosen from."""
        self.post_message(self.Told())

    def action_field(self) -> None:
        """Type."""
        self.screen.query("#one").first().focus()

    def action_remove(self) -> None:
        """Away with what may be in focus soon."""
        self.screen.query("#two").remove()


class TwoFields(TypesAhead):
    """A pad and two fields; ``?`` empties the first one, but is typed where a field is in focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "empty", priority=True)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Decided before the key is handed to anything."""
        return action != "empty" or not isinstance(self.focused, Input)

    def action_empty(self) -> None:
        """Away with the text."""
        self.query_one("#one", Input).value = ""

    def on_pad_told(self) -> None:
        """Go there."""
        self.query_one("#one").focus()

    def compose(self) -> ComposeResult:
        yield Pad()
        yield Input(id="one")
        yield Input(id="two")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """What stood there when it was submitted is kept."""
        self.submitted = (*getattr(self, "submitted", ()), event.value)

    def state(self) -> tuple[object, ...]:
        """All that keys can change."""
        fields = [(field.id, field.value, field.cursor_position) for field in self.query(Input)]
        focused = None if self.focused is None else self.focused.id
        return fields, focused, getattr(self, "submitted", ())


def typed(name: str) -> Key | Paste:
    if name == "paste":
        return Paste("some text")
    return Key(name, name if len(name) == 1 else {"slash": "/", "question_mark": "?"}.get(name))


async def state_after(names: Sequence[str], *, at_once: bool) -> tuple[object, ...]:
    app = TwoFields()
    async with app.run_test() as pilot:
        app.query_one(Pad).focus()
        await pilot.pause()
        for name in names:
            app.post_message(typed(name))
            if not at_once:
                await pilot.pause()
        await pilot.pause(0.05)
        while app._waiting or app._in_hand is not None:
            await pilot.pause(0.05)
        await pilot.pause()
        return app.state()


async def test_what_is_typed_behind_a_key_that_opens_a_field_stands_there() -> None:
    fields, focused, submitted = await state_after(["slash", "a", "b", "enter"], at_once=True)
    assert (fields, focused, submitted) == ([("one", "ab", 2), ("two", "", 0)], "one", ("ab",))


async def test_what_a_key_tells_others_is_done_before_the_next_key() -> None:
    fields, focused, _ = await state_after(["g", "question_mark", "a"], at_once=True)
    assert (fields, focused) == ([("one", "?a", 2), ("two", "", 0)], "one")


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        (Key("alt+n", "n"), [("escape", "\x1b"), ("n", "n")]),
        (Key("alt+shift+n", "N"), [("escape", "\x1b"), ("N", "N")]),
        (Key("alt+enter", "\r"), [("escape", "\x1b"), ("enter", "\r")]),
        (Key("alt+backspace", "\x7f"), [("alt+backspace", "\x7f")]),
        (Key("alt+left", None), [("alt+left", None)]),
        (Key("n", "n"), [("n", "n")]),
    ],
)
def test_escape_and_a_letter_in_one_piece_are_two_keys(event: Key, keys: list[tuple[str, str | None]]) -> None:
    assert [(key.key, key.character) for key in keys_of(event)] == keys


async def test_what_is_typed_behind_ctrl_u_is_not_taken_away() -> None:
    fields, _, _ = await state_after(["slash", "a", "ctrl+u", "b", "b"], at_once=True)
    assert fields == [("one", "bb", 2), ("two", "", 0)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(KEYS), max_size=14))
def test_at_once_is_the_same_as_one_by_one(names: list[str]) -> None:
    async def both() -> tuple[object, object]:
        return await state_after(names, at_once=True), await state_after(names, at_once=False)

    together, apart = asyncio.run(both())
    assert together == apart


async def test_what_is_pasted_behind_a_key_that_opens_a_field_stands_there() -> None:
    fields, _, _ = await state_after(["slash", "a", "ctrl+u", "paste", "b"], at_once=True)
    assert fields == [("one", "some textb", 10), ("two", "", 0)]


async def test_a_key_whose_widget_is_gone_holds_no_other_up() -> None:
    app = TwoFields()
    async with app.run_test() as pilot:
        app.query_one("#two").focus()
        await pilot.pause()
        app._in_hand = 0.0  # as if it were lost
        app.post_message(typed("a"))
        await pilot.pause(PATIENCE + 0.3)
        assert app.query_one("#two", Input).value == "a"
