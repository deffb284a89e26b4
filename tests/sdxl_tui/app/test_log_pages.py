"""Any part of a log: pages and searches against the plain list of its lines, whatever the sizes of blocks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.run.layout import RunDirectory
from sdxl_tui.fleet import log_pages
from sdxl_tui.fleet.log_pages import LogPages, LogPattern
from sdxl_tui.fleet.log_tail import LogPlace, LogTail

LINES = st.lists(st.text(alphabet="abX \té", max_size=12), max_size=30)
LOGS = st.lists(st.tuples(LINES, st.booleans()), min_size=1, max_size=4)
"""Lines of each attempt, and whether the last one has an end."""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run without attempts."""
    return RunDirectory(tmp_path / "fox-20261124-100000")


def written(run: RunDirectory, logs: list[tuple[list[str], bool]]) -> list[tuple[LogPlace, str]]:
    """Write the logs; every line with its place."""
    shutil.rmtree(run.path, ignore_errors=True)
    found = []
    for number, (lines, is_ended) in enumerate(logs, start=1):
        run.attempt(number).path.mkdir(parents=True)
        text = "\n".join(lines) + ("\n" if lines and is_ended else "")
        run.attempt(number).log.write_bytes(text.encode())
        offset = 0
        for at, line in enumerate(lines):
            if line or at < len(lines) - 1 or is_ended:
                found.append((LogPlace(number, offset), line))
            offset += len(line.encode()) + 1
    return found


@settings(max_examples=150, deadline=None)
@given(
    LOGS,
    st.tuples(st.sampled_from(["a", "ab", "X", "é", " ", "bX"]), st.booleans(), st.integers(0, 200)),
    st.integers(1, 40),
)
def test_a_search_finds_the_next_line_and_goes_round(
    tmp_path_factory: pytest.TempPathFactory,
    logs: list[tuple[list[str], bool]],
    asked: tuple[str, bool, int],
    block: int,
) -> None:
    text, backwards, at = asked
    run = RunDirectory(tmp_path_factory.mktemp("log") / "fox-20261124-100000")
    lines = written(run, logs)
    start = lines[at % len(lines)][0] if lines else None
    hits = [place for place, line in lines if re.search(re.escape(text), line, re.IGNORECASE | re.ASCII)]
    if backwards:
        ahead = [place for place in reversed(hits) if start is None or place < start]
        behind = [place for place in reversed(hits) if start is not None and place >= start]
    else:
        ahead = [place for place in hits if start is None or place > start]
        behind = [place for place in hits if start is not None and place <= start]
    if start is None:
        ahead, behind = (hits, []) if not backwards else ([], list(reversed(hits)))
    shares: list[float] = []
    with patch.object(log_pages, "BLOCK", block):
        found = LogPages(run).search(LogPattern.of(text), start, backwards=backwards, tell=shares.append)
    assert found is not None
    assert found.place == next(iter([*ahead, *behind]), None)
    assert found.around == (not ahead and bool(behind))
    assert shares == sorted(shares) and all(0 < share <= 1 for share in shares)


@settings(max_examples=100, deadline=None)
@given(LOGS, st.integers(0, 200), st.integers(1, 12), st.integers(30, 400))
def test_a_page_holds_the_lines_around_its_own(
    tmp_path_factory: pytest.TempPathFactory, logs: list[tuple[list[str], bool]], at: int, count: int, size: int
) -> None:
    run = RunDirectory(tmp_path_factory.mktemp("log") / "fox-20261124-100000")
    lines = written(run, logs)
    if not lines:
        return
    place = lines[at % len(lines)][0]
    with patch.object(log_pages, "PAGE_LINES", count), patch.object(log_pages, "PAGE_BYTES", size):
        page = LogPages(run).around(place)
    found = [(line.place, line.text) for line in page.lines if line.place]
    places = [one for one, _ in lines]
    first = places.index(found[0][0]) if found[0][0] in places else None
    assert first is not None
    assert found == [(one, line.expandtabs(4)) for one, line in lines[first : first + len(found)]]
    assert place in [one for one, _ in found]
    assert not page.begins or first == 0
    assert not page.ends or found[-1][0] == places[-1]
    if count > len(lines) + len(logs) and size > sum(len(line.encode()) + 1 for _, line in lines):
        assert page.begins and page.ends and len(found) == len(lines)


def test_the_tail_knows_where_its_lines_are(run: RunDirectory) -> None:
    lines = written(run, [(["one", "twö", ""], True), (["10%\r20%", "end"], False)])
    tail = LogTail(run)
    tail.poll()
    with run.attempt(2).log.open("ab") as file:
        file.write(b"less\nlast\n")
    tail.poll()
    places = [(line.place, line.text) for line in tail.lines if line.place]
    assert [place for place, _ in places] == [*(place for place, _ in lines), LogPlace(2, 16)]
    assert [text for _, text in places][-2:] == ["endless", "last"]
    page = LogPages(run).around(LogPlace(2, 16))
    assert [(line.place, line.text) for line in page.lines if line.place] == places
    assert [line.text for line in page.lines if line.is_heading] == ["attempt 2"]


def test_a_line_without_end_is_shown_from_near_the_match(run: RunDirectory) -> None:
    written(run, [(["x" * 3_000_000 + "needle" + "y" * 3_000_000, "after"], True)])
    pages = LogPages(run)
    found = pages.search(LogPattern.of("needle"), None)
    assert found is not None and found.place is not None
    assert any("needle" in line.text for line in pages.around(found.place).lines)


def test_a_search_can_be_given_up_and_a_missing_log_is_none(run: RunDirectory) -> None:
    written(run, [(["a"] * 1000, True)])
    assert LogPages(run).search(LogPattern.of("b"), None, is_cancelled=lambda: True) is None
    shutil.rmtree(run.path)
    found = LogPages(run).search(LogPattern.of("a"), None)
    assert found is not None and found.place is None
    assert LogPages(run).around(LogPlace(1, 0)).lines == ()
