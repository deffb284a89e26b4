"""The user's configuration: what it means, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdxl_tui.config import Config, ConfigError, Event, Notify, ThemeName, config_path, parse_config, read_config
from sdxl_tui.terminal.attention import Signal


def test_without_a_file_everything_is_at_its_default(tmp_path: Path) -> None:
    assert read_config(tmp_path / "none" / "config.toml") == Config()


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_CONFIG_HOME": "/etc/me"}, "/etc/me/sdxl-tui/config.toml"),
        ({"XDG_CONFIG_HOME": "relative"}, "~/.config/sdxl-tui/config.toml"),
        ({}, "~/.config/sdxl-tui/config.toml"),
    ],
)
def test_the_file_lies_where_the_standard_says(environment: dict[str, str], path: str) -> None:
    assert config_path(environment) == Path(path).expanduser()


def test_a_command_alone_is_the_short_form() -> None:
    assert parse_config(b'notify = "ntfy publish me"', "c").notify == Notify(command="ntfy publish me")


def test_every_setting_is_read() -> None:
    text = b"""\
theme = "light"
[notify]
command = "beep"
terminal = "osc777"
on = ["failed", "first-sample"]
[keys]
"runs.stop" = "S"
[keys.run]
zoom = "f9,Z"
"""
    config = parse_config(text, "c")
    assert config.theme is ThemeName.LIGHT
    assert config.notify == Notify("beep", Signal.OSC777, frozenset({Event.FAILED, Event.FIRST_SAMPLE}))
    assert config.keys == {"runs.stop": "S", "run.zoom": "f9,Z"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\ntheme = "drak"', "c:2: theme: 'drak' is none of dark, light, contrast; did you mean 'dark'?"),
        ("notify = 3", 'c:1: notify: must be a command, notify = "…", or a table [notify]'),
        ('[notify]\n\nterminal = "beep"', "c:3: notify.terminal: 'beep' is none of off, bell, osc9, osc777"),
        ('[notify]\non = ["finishd"]', "c:2: notify.on: 'finishd' is none of finished, failed, nan, first-sample; did"),
        ('[notify]\non = "finished"', "c:2: notify.on: must be a list of"),
        ("[notify]\ncommand = ['a', 'b']", "c:2: notify.command: must be a text in quotes"),
        ('[notify]\ncomand = "x"', "c:2: notify.comand: there is no such setting; did you mean notify.command?"),
        ("colour = 1", "c:1: colour: there is no such setting; there are notify, theme, keys"),
        ("[keys]\n'runs.stop' = 3", "keys.runs.stop: must be one or several keys"),
        ("theme = dark", 'c:1:9: not TOML: text without quotes; write theme = "dark"'),
        ("theme = 'dark'\ntheme = 'light'", "twice"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(text.encode(), "c")
    assert said in str(raised.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(b'theme = 1\nnotify = 2\n[kesy]\na = "b"', "c")
    assert [line.split(" ")[0] for line in str(raised.value).splitlines()] == ["c:3:", "c:1:", "c:2:"]


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a" * 2_000_000, b"x = [" * 5000])
def test_a_file_of_anything_is_one_message(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as raised:
        read_config(path)
    assert str(path) in str(raised.value)
