"""A file that is replaced is old or new at every moment, also when the writer is killed at any point."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.durable import write_atomically, write_json_atomically

WRITER = """
import sys; from pathlib import Path; from engine.durable import write_json_atomically
path, durable = Path(sys.argv[1]), sys.argv[2] == "durable"
for number in range(10**9):
    write_json_atomically(path, {"number": number, "again": [number] * 2000}, durable=durable)
    print(number, flush=True)
"""


@pytest.mark.parametrize("mode", ["durable", "quick"])
def test_a_writer_killed_at_a_random_moment_leaves_what_it_last_acknowledged_or_newer(
    tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "status.json"
    moments = random.Random(20261124)
    for _ in range(6):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), mode], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(moments.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        acknowledged = int((b"0\n" + writer.communicate()[0]).split()[-1])
        stored = json.loads(path.read_bytes())
        assert stored["number"] >= acknowledged
        assert stored["again"] == [stored["number"]] * 2000


@pytest.mark.parametrize("call", ["write", "fsync", "close", "open"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_whichever_call_fails_the_old_content_stays_and_nothing_is_left_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    path = tmp_path / "profile.toml"
    path.write_text("old")
    real = getattr(os, call)

    def failing(*arguments: object, **named: object) -> object:
        if call == "close":
            real(*arguments)
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as broken:
        broken.setattr(f"engine.durable.os.{call}", failing)
        with pytest.raises(OSError, match=os.strerror(error)):
            write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile.toml"]


def test_the_permissions_of_the_replaced_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    write_atomically(path, b"one", mode=0o640)
    write_atomically(path, b"two")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == b"two"


def test_what_json_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomically(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
