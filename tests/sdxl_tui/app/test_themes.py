"""Themes and NO_COLOR: what is read stands out, and without colours nothing is coloured and nothing is lost."""

from __future__ import annotations

import re

import pytest
from textual.color import Color
from textual.theme import Theme

from sdxl_tui.app import SdxlTui
from sdxl_tui.config import Config, ThemeName
from sdxl_tui.fleet.run_marks import COLOURS
from sdxl_tui.terminal.guard import install_guard
from sdxl_tui.theme import CONTRAST, LIGHT, THEMES
from tests.sdxl_tui.app.run_field import NOW, RunField, fill_for_show
from tests.sdxl_tui.app.screen_text import wait_for_text


def luminance(colour: Color) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [value / 255 for value in colour.rgb]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: str(theme.name))
def test_every_ink_can_be_read(theme: Theme) -> None:
    least = 7.0 if theme is CONTRAST else 4.5
    inks = [theme.foreground, theme.primary, theme.secondary, theme.accent, theme.success, theme.warning, theme.error]
    inks += [theme.variables[f"run-{number}"] for number in range(1, COLOURS + 1)]
    for ink in inks:
        assert ink is not None and theme.background is not None
        assert contrast(ink, theme.background) >= least, ink
    cursor = theme.variables["block-cursor-background"], theme.variables["block-cursor-foreground"]
    assert contrast(*cursor) >= 4.5


@pytest.mark.parametrize("name", ThemeName)
async def test_the_theme_of_the_configuration_is_shown(runs: RunField, name: ThemeName) -> None:
    fill_for_show(runs)
    app = SdxlTui(runs.workspace, now=lambda: NOW, config=Config(theme=name))
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "sketches")
        background = app.screen.styles.background
    assert background == Color.parse(THEMES[name].background or "")
    assert (app.theme == "light") == (name is ThemeName.LIGHT) and LIGHT.dark is False


async def test_no_color_means_no_colour_and_the_cursor_is_still_seen(
    runs: RunField, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    install_guard()
    fill_for_show(runs)
    app = SdxlTui(runs.workspace, now=lambda: NOW)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for_text(pilot, "sketches")
        await pilot.pause(0.1)
        strips = app.screen._compositor.render_strips()
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        written = "".join(strip.render(app.console) for strip in strips)
    assert not [style for style in styles if style.color or style.bgcolor]
    assert not re.search(r"\x1b\[[0-9;]*\b(3[0-9]|4[0-9]|9[0-7]|10[0-7])\b", written)
    reversed_rows = [
        strip.text for strip in strips if any(segment.style and segment.style.reverse for segment in strip)
    ]
    assert any("sketches" in text for text in reversed_rows)
    assert len(reversed_rows) < 6
