"""Captions with weights written into them: ``(word:1.2)``, ``(word)``, ``[word]``, as AUTOMATIC1111's web UI reads them.

Text in, text with numbers out; what the numbers do is ``conditioning.py``'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

STEP: Final = 1.1
"""What a pair of brackets without a number multiplies (round) or divides (square) by."""

_WEIGHT: Final = re.compile(r":\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)")


@dataclass(frozen=True)
class Segment:
    """A stretch of text whose tokens all have one weight."""

    text: str
    weight: float = 1.0


def parse_weights(text: str) -> tuple[Segment, ...]:
    r"""The segments of ``text``; neighbours of equal weight are one. Every text has a reading.

    ``(x)`` multiplies by 1.1, ``[x]`` divides by 1.1, ``(x:1.3)`` multiplies by 1.3, and brackets inside brackets multiply
    with each other. A backslash makes the bracket or backslash behind it plain text (``\(``); before anything else it is
    dropped. A bracket that is not closed counts to the end, one that was not opened is text. ``[x:1.3]`` has no number:
    the colon is text there, too.
    """
    reader = _Reader()
    position = 0
    while position < len(text):
        position = reader.read(text, position)
    return reader.finished()


@dataclass
class _Reader:
    segments: list[tuple[str, float]] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    """Number of segments before each round bracket that is open."""
    square: list[int] = field(default_factory=list)

    def read(self, text: str, position: int) -> int:
        """Take in what stands at ``position``; where to go on."""
        character = text[position]
        end = position + 1
        if character == "\\":
            escaped = text[end : end + 1]
            if escaped in {"(", ")", "[", "]", "\\"}:
                self.segments.append((escaped, 1.0))
                end += 1
        elif character == "(":
            self.round.append(len(self.segments))
        elif character == "[":
            self.square.append(len(self.segments))
        elif character == ":" and self.round and (number := _WEIGHT.match(text, position)):
            self._multiply(self.round.pop(), float(number[1]))
            end = number.end()
        elif character == ")" and self.round:
            self._multiply(self.round.pop(), STEP)
        elif character == "]" and self.square:
            self._multiply(self.square.pop(), 1 / STEP)
        else:
            self.segments.append((character, 1.0))
        return end

    def finished(self) -> tuple[Segment, ...]:
        """Everything that was read, brackets that stayed open closed."""
        for opened in self.round:
            self._multiply(opened, STEP)
        for opened in self.square:
            self._multiply(opened, 1 / STEP)
        merged: list[Segment] = []
        for text, weight in self.segments:
            if merged and merged[-1].weight == weight:
                merged[-1] = Segment(merged[-1].text + text, weight)
            else:
                merged.append(Segment(text, weight))
        return tuple(merged)

    def _multiply(self, start: int, factor: float) -> None:
        for index in range(start, len(self.segments)):
            text, weight = self.segments[index]
            self.segments[index] = text, weight * factor
