"""The colours of the app: dark and calm, colour only where it says something."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

CALM: Final = Theme(
    name="calm",
    dark=True,
    background="#101318",
    surface="#161a21",
    panel="#1c2129",
    foreground="#ccd3dd",
    primary="#7cb3e8",
    secondary="#8f9db3",
    accent="#b9a3e3",
    success="#86c98f",
    warning="#e2b860",
    error="#ec7a76",
    variables={
        "border": "#323a46",
        "border-blurred": "#262d37",
        "block-cursor-background": "#2b4562",
        "block-cursor-foreground": "#f0f4f8",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#222a35",
        "block-cursor-blurred-foreground": "#ccd3dd",
        "footer-key-foreground": "#7cb3e8",
        "footer-background": "#1c2129",
        "scrollbar": "#323a46",
        "scrollbar-hover": "#445063",
        "scrollbar-active": "#7cb3e8",
        "scrollbar-background": "#101318",
        "scrollbar-background-hover": "#101318",
        "scrollbar-background-active": "#101318",
        "scrollbar-corner-color": "#101318",
        "input-cursor-background": "#ccd3dd",
        "input-selection-background": "#7cb3e8 30%",
        "link-color": "#7cb3e8",
    },
)
