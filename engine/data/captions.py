"""What a caption becomes at a visit: line, wildcards, trigger, order and dropout of tags, prefix and suffix. Pure functions.

Chance comes from the generator that is handed in, so that the same visit always gives the same words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, Self

from engine.data.order import shuffle
from engine.profile.schema import Captions, Source

_WILDCARD: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


@dataclass(frozen=True)
class CaptionRules:
    """What a profile says of the captions of one source."""

    separator: str = ","
    shuffle: bool = False
    keep_tokens: int = 0
    keep_separator: str = "|||"
    tag_dropout: float = 0.0
    caption_dropout: float = 0.0
    wildcards: bool = False
    trigger: str = ""
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def of(cls, captions: Captions, source: Source) -> Self:
        """The source's own settings, where it has any, before the profile's."""

        def first(name: str) -> Any:
            own = getattr(source, name)
            return getattr(captions, name) if own is None else own

        return cls(
            separator=captions.separator,
            shuffle=first("shuffle"),
            keep_tokens=first("keep_tokens"),
            keep_separator=captions.keep_separator,
            tag_dropout=first("tag_dropout"),
            caption_dropout=first("caption_dropout"),
            wildcards=captions.wildcards,
            trigger=source.trigger.strip(),
            prefix=source.prefix.strip(),
            suffix=source.suffix.strip(),
        )

    def changed(self) -> dict[str, Any]:
        """The settings that are not the defaults."""
        return dict(_changed(self))

    def plain(self, lines: Sequence[str]) -> str:
        """The caption without chance: the first line and the first choices, every tag in its place."""
        return self._text(lines, None)

    def drawn(self, lines: Sequence[str], chance: random.Random) -> str:
        """The caption of one visit. Only ``chance.random()`` is used, whose sequence is the same in all versions of Python."""
        if self.caption_dropout and chance.random() < self.caption_dropout:
            return ""
        return self._text(lines, chance)

    def varies(self, lines: Sequence[str]) -> bool:
        """Whether visits may give different captions, the empty one of a caption dropout not counted."""
        if self.wildcards and len(lines) > 1:
            return True
        (line,) = self._lines(lines)
        if self.wildcards and any(_has_choice(text) for text in (self.prefix, line, self.suffix)):
            return True
        _, free, _ = self._tags(_expanded(line, None) if self.wildcards else line)
        droppable = [tag for tag in free if not self._holds_trigger(tag)]
        return (self.shuffle and len(set(free)) > 1) or (self.tag_dropout > 0 and bool(droppable))

    def _lines(self, lines: Sequence[str]) -> tuple[str, ...]:
        """The lines to choose from: with wildcards each, otherwise all as one. Never empty."""
        return (tuple(lines) or ("",)) if self.wildcards else (" ".join(lines),)

    def _text(self, lines: Sequence[str], chance: random.Random | None) -> str:
        choices = self._lines(lines)
        line = choices[0] if chance is None or len(choices) == 1 else _one_of(choices, chance)
        prefix, suffix = self.prefix, self.suffix
        if self.wildcards:
            prefix, line, suffix = (_expanded(text, chance) for text in (prefix, line, suffix))
        has_trigger = any(self._holds_trigger(text) for text in (prefix, line, suffix))
        body = self._arranged(line, chance)
        if self.trigger and not has_trigger:
            body = self._joined([self.trigger, body] if body else [self.trigger])
        return " ".join(part for part in (prefix, body, suffix) if part)

    def _arranged(self, line: str, chance: random.Random | None) -> str:
        """The line with its tags shuffled and dropped; as it was written where neither is asked for."""
        marked = bool(self.keep_separator) and self.keep_separator in line
        if not marked and not self.shuffle and not self.tag_dropout:
            return line
        head, free, tail = self._tags(line)
        if chance is not None and self.shuffle:
            shuffle(free, chance)
        if chance is not None and self.tag_dropout:
            # One number per tag, kept or not, so that the trigger does not shift the others' luck.
            luck = [chance.random() for _ in free]
            free = [
                tag
                for tag, number in zip(free, luck, strict=True)
                if number >= self.tag_dropout or self._holds_trigger(tag)
            ]
        return self._joined([*head, *free, *tail])

    def _tags(self, line: str) -> tuple[list[str], list[str], list[str]]:
        """Tags that stay at the beginning, tags between, tags that stay at the end."""
        if self.keep_separator and self.keep_separator in line:
            pieces = [*line.split(self.keep_separator, 2), ""]
            head, free, tail = (self._split(piece.replace(self.keep_separator, " ")) for piece in pieces[:3])
            return head, free, tail
        tags = self._split(line)
        return tags[: self.keep_tokens], tags[self.keep_tokens :], []

    def _split(self, text: str) -> list[str]:
        return [tag for tag in (part.strip() for part in text.split(self.separator)) if tag]

    def _joined(self, tags: Sequence[str]) -> str:
        between = self.separator if self.separator.endswith(" ") else f"{self.separator} "
        return between.join(tags)

    def _holds_trigger(self, text: str) -> bool:
        return bool(self.trigger) and bool(re.search(rf"(?<!\w){re.escape(self.trigger)}(?!\w)", text))


def _one_of(choices: Sequence[str], chance: random.Random) -> str:
    return choices[int(chance.random() * len(choices))]


def _has_choice(text: str) -> bool:
    return any("|" in choices for choices in _WILDCARD.findall(text))


def _expanded(text: str, chance: random.Random | None) -> str:
    """``text`` with every ``{a|b}`` replaced by one of its choices, by the first without ``chance``; they are not nested.

    ``{{`` and ``}}`` become plain braces; a brace without a partner is text.
    """

    def chosen(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        choices = found[1].split("|")
        return choices[0] if chance is None or len(choices) == 1 else _one_of(choices, chance)

    return " ".join(_WILDCARD.sub(chosen, text).split())


def lines_of(text: str) -> tuple[str, ...]:
    """The lines of a caption that hold something, each with its white space run together."""
    return tuple(_nonempty(text))


def _nonempty(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if words := " ".join(line.split()):
            yield words


@lru_cache(maxsize=256)
def _changed(rules: CaptionRules) -> tuple[tuple[str, Any], ...]:
    """Worked out once for the images of a source, which share their rules."""
    usual = asdict(CaptionRules())
    return tuple((name, value) for name, value in asdict(rules).items() if value != usual[name])
