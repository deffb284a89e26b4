"""The colours of the app: dark and calm, colour only where it says something.

The greys are so little tinted that a terminal of 256 colours (tmux without true colour) shows greys too: Rich takes a colour of
less than 15 % saturation from the grey ramp, any other from a coarse cube in which dark blue-grey becomes black or navy.
"""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

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
