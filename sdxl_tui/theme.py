"""The colours of the app: calm, colour only where it says something; dark, light, or with the contrast of black and white.

The greys are so little tinted that a terminal of 256 colours (tmux without true colour) shows greys too: Rich takes a colour of
less than 15 % saturation from the grey ramp, any other from a coarse cube in which dark blue-grey becomes black or navy.
"""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

from sdxl_tui.config import ThemeName

CALM: Final = Theme(
    name="calm",
    dark=True,
    background="#121417",
    surface="#181a1e",
    panel="#1f2226",
    foreground="#ccd3dd",
    primary="#7cb3e8",
    secondary="#8f9db3",
    accent="#b9a3e3",
    success="#86c98f",
    warning="#e2b860",
    error="#ec7a76",
    variables={
        "border": "#3a3e45",
        "border-blurred": "#2e3238",
        "block-cursor-background": "#2c4a78",
        "block-cursor-foreground": "#f0f4f8",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#2a2d32",
        "block-cursor-blurred-foreground": "#ccd3dd",
        "footer-key-foreground": "#7cb3e8",
        "footer-background": "#1f2226",
        "scrollbar": "#3a3e45",
        "scrollbar-hover": "#50555e",
        "scrollbar-active": "#7cb3e8",
        "scrollbar-background": "#121417",
        "scrollbar-background-hover": "#121417",
        "scrollbar-background-active": "#121417",
        "scrollbar-corner-color": "#121417",
        "input-cursor-background": "#ccd3dd",
        "input-selection-background": "#7cb3e8 30%",
        "link-color": "#7cb3e8",
        # Runs that are compared, one each.
        "run-1": "#7cb3e8",
        "run-2": "#e2b860",
        "run-3": "#86c98f",
        "run-4": "#ec7a76",
        "run-5": "#b9a3e3",
        "run-6": "#63c6c6",
        "run-7": "#e39fc8",
        "run-8": "#b9bf6a",
    },
)

LIGHT: Final = Theme(
    name="light",
    dark=False,
    background="#fbfbfa",
    surface="#f3f3f2",
    panel="#e9e9e8",
    foreground="#24282e",
    primary="#1f62a8",
    secondary="#55637a",
    accent="#6b46a8",
    success="#217a36",
    warning="#8f5f00",
    error="#b3261e",
    variables={
        "border": "#b9bcc2",
        "border-blurred": "#d3d5d9",
        "block-cursor-background": "#c3d9f2",
        "block-cursor-foreground": "#101418",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e0e1e3",
        "block-cursor-blurred-foreground": "#24282e",
        "footer-key-foreground": "#1f62a8",
        "footer-background": "#e9e9e8",
        "scrollbar": "#c4c6ca",
        "scrollbar-hover": "#a5a8ae",
        "scrollbar-active": "#1f62a8",
        "scrollbar-background": "#fbfbfa",
        "scrollbar-background-hover": "#fbfbfa",
        "scrollbar-background-active": "#fbfbfa",
        "scrollbar-corner-color": "#fbfbfa",
        "input-cursor-background": "#24282e",
        "input-selection-background": "#1f62a8 25%",
        "link-color": "#1f62a8",
        "run-1": "#1f62a8",
        "run-2": "#9a6700",
        "run-3": "#217a36",
        "run-4": "#b3261e",
        "run-5": "#6b46a8",
        "run-6": "#007a80",
        "run-7": "#a8327a",
        "run-8": "#5f6b00",
    },
)
"""For bright rooms. Every ink has a contrast of at least 4.5 to 1 to the background (a test holds that)."""

CONTRAST: Final = Theme(
    name="contrast",
    dark=True,
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    foreground="#ffffff",
    primary="#66ccff",
    secondary="#d0d0d0",
    accent="#ff99ff",
    success="#66ff66",
    warning="#ffd500",
    error="#ff8080",
    variables={
        "border": "#ffffff",
        "border-blurred": "#8a8a8a",
        "block-cursor-background": "#ffffff",
        "block-cursor-foreground": "#000000",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#5a5a5a",
        "block-cursor-blurred-foreground": "#ffffff",
        "footer-key-foreground": "#66ccff",
        "footer-background": "#1a1a1a",
        "scrollbar": "#8a8a8a",
        "scrollbar-hover": "#ffffff",
        "scrollbar-active": "#66ccff",
        "scrollbar-background": "#000000",
        "scrollbar-background-hover": "#000000",
        "scrollbar-background-active": "#000000",
        "scrollbar-corner-color": "#000000",
        "input-cursor-background": "#ffffff",
        "input-selection-background": "#66ccff 40%",
        "link-color": "#66ccff",
        "run-1": "#66ccff",
        "run-2": "#ffd500",
        "run-3": "#66ff66",
        "run-4": "#ff8080",
        "run-5": "#c9a6ff",
        "run-6": "#4dffea",
        "run-7": "#ff99ff",
        "run-8": "#d8ff66",
    },
)
"""For poor screens and poor eyes: 7 to 1 and more."""

THEMES: Final = {ThemeName.DARK: CALM, ThemeName.LIGHT: LIGHT, ThemeName.CONTRAST: CONTRAST}
