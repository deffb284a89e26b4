"""A command line as people keep it: in a shell script, a batch file or a notebook's cell, with variables and continued lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.foreign.sd_scripts.table import OPTIONS, SD_SCRIPTS

_ASSIGNED: Final = re.compile(
    r"""^\s*(?:export\s+|set\s+|\$(?:env:)?|local\s+|declare\s+(?:-\w+\s+)?)?"?([A-Za-z_]\w*)\s*=\s*(.*?)"?\s*$""",
    re.IGNORECASE,
)
_KEPT: Final = re.compile(r"""^\s*(?:export\s+|local\s+)?\w+=(["'])(.*?train\w*\.py\b.*)\1\s*$""")
"""A whole command that is kept in a variable."""
_USED: Final = re.compile(r"\$\{(\w+)(?::?[-=]([^}]*))?\}|\$(\w+)|%(\w+)%|!(\w+)!")
_FLAG: Final = re.compile(r"-{1,2}[A-Za-z]")
_ARRAY: Final = re.compile(r"^[ \t]*\w+=\(\s*\n((?:[^()]|\([^()\n]*\))*?)\n[ \t]*\)[ \t]*$", re.MULTILINE)
"""An array of a shell: ``args=(``, an option on each line, ``)``."""
_COMMENT: Final = re.compile(r"^\s*(?:#|::|rem\b|REM\b)")
_SCRIPT: Final = re.compile(
    r"\w*train\w*\.py\b|sdxl_train_network|accelerate(?:\.exe)?\S*\s+launch|\blaunch\b.*\.py", re.IGNORECASE
)
_TRAINING: Final = re.compile(r"train\w*\.py\b|train_network", re.IGNORECASE)
_MANY: Final = frozenset(
    {
        "optimizer_args",
        "network_args",
        "lr_scheduler_args",
        "text_encoder_lr",
        "base_weights",
        "base_weights_multiplier",
    }
)
"""Options that take all words up to the next one."""
MAX_WORDS: Final = 5000


def looks_like_a_command(text: str) -> bool:
    """Whether there is at least one ``--option`` of ours in ``text``."""
    return any(name.lower().replace("-", "_") in OPTIONS for name in re.findall(r"(?<![\w-])--([A-Za-z][\w-]*)", text))


@dataclass(frozen=True)
class Command:
    """The options of a command line by name; one without a value is ``True``."""

    options: dict[str, Any]
    """Of the training script."""
    launcher: dict[str, Any]
    """Of what starts the script, accelerate."""
    trainings: int
    """How many trainings the text starts; the options are the last one's."""
    script: str = ""
    """The training script of the last one, without its folder; empty where none is named."""


def read_command(text: str) -> Command:
    """The command that ``text`` holds. Options on lines without a script (arrays, continued ones) are the script's."""
    variables: dict[str, str] = {}
    options: dict[str, Any] = {}
    launcher: dict[str, Any] = {}
    trainings, name = 0, ""
    for line in _joined(_ARRAY.sub(lambda found: " ".join(found[1].splitlines()), text)):
        if _COMMENT.match(line):
            continue
        named = _ASSIGNED.match(line)
        if named is not None and "--" not in line.partition("=")[0] and not _SCRIPT.search(line):
            variables[named[1].lower()] = _with_variables(_assigned(named[2]), variables)
        elif (kept := _KEPT.match(line)) is not None:
            found = read_command(_with_variables(kept[2], variables))  # CMD="... train.py --option ...", run later
            options, launcher, name = options | found.options, found.launcher or launcher, found.script or name
            trainings += found.trainings
        elif re.search(r"(?<![\w-])--?[A-Za-z]", line) and (_SCRIPT.search(line) or looks_like_a_command(line)):
            words = [word.rstrip(",") for word in _words(_with_variables(line, variables))][:MAX_WORDS]
            script = next((index for index, word in enumerate(words) if _TRAINING.search(word)), -1)
            own = _options(words[script + 1 :], abbreviated=True)
            if script >= 0:
                trainings += 1
                name = re.split(r"[/\\]", words[script])[-1]
                launcher = _options(words[:script])
                options = own if trainings > 1 else options | own
            else:
                options |= own
    return Command(options, launcher, trainings, name)


def _assigned(text: str) -> str:
    """The value of an assignment: what is in its quotes, or up to a comment."""
    text = text.strip()
    if text[:1] in ("'", '"') and (end := text.find(text[0], 1)) > 0:
        return text[1:end]
    return re.split(r"\s#", text)[0].strip().strip("\"'")


def _joined(text: str) -> list[str]:
    """Lines, with those that are continued by a backslash, a caret or a backtick made one; comments between are left out."""
    found: list[str] = []
    pending = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if pending and (not line.strip() or _COMMENT.match(line)):
            continue
        bare = line.rstrip()
        if bare.endswith(("\\", "^", "`")) and not bare.endswith("\\\\"):
            pending += bare[:-1] + " "
        else:
            found.append(pending + bare)
            pending = ""
    return [*found, pending] if pending else found


def _with_variables(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name = next(group for group in (found[1], found[3], found[4], found[5]) if group is not None)
        known = variables.get(name.lower())
        return known if known is not None else (found[2] if found[2] is not None else found[0])

    return _USED.sub(value, text)


def _words(line: str) -> list[str]:
    """A command line's words. A backslash is a letter: paths of Windows have them, quoted spaces have quotes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="")
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return list(lexer)
    except ValueError:  # a quote that is not closed
        return [word.strip("\"'") for word in line.split()]


def _options(words: list[str], *, abbreviated: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if not word.startswith("--") or not _FLAG.match(word):
            continue
        name, equals, value = word[2:].partition("=")
        name = _whole_name(name, abbreviated=abbreviated)
        values = [value] if equals else []
        while index < len(words) and not words[index].startswith("--") and (not equals or name in _MANY):
            if words[index] not in (";", "&&", "|", "&", "pause"):
                values.append(words[index])
            index += 1
            if name not in _MANY:
                break
        if not values:
            found[name] = True
        else:
            found[name] = (
                [*found.get(name, []), *values]
                if name in _MANY and isinstance(found.get(name, []), list)
                else values[0]
            )
    return found


def _whole_name(name: str, *, abbreviated: bool) -> str:
    """sd-scripts' parser takes the beginning of a name for the name, where only one begins so."""
    bare = name.strip().replace("-", "_")
    if not abbreviated or bare in OPTIONS or len(bare) < 5:
        return bare
    longer = [option for option in SD_SCRIPTS if option.startswith(bare)]
    return longer[0] if len(longer) == 1 else bare
