"""The app as a process in a pseudo-terminal: it leaves the terminal as it was, and no run minds how it ends."""

from __future__ import annotations

import codecs
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sdxl_tui.fleet.foreign_states import add_folder
from sdxl_tui.fleet.runs import list_runs
from tests.engine.foreign.test_event_file import scalar
from tests.sdxl_tui.app.run_field import RunField
from tests.sdxl_tui.text_screen import TextScreen


@dataclass
class Terminal:
    """The app in a pseudo-terminal."""

    pid: int
    master: int
    received: bytes = b""
    screen: TextScreen = field(default_factory=lambda: TextScreen(80, 24))
    _cut: bytes = b""
    """The beginning of a character that has not arrived."""

    def take(self, data: bytes) -> None:
        """Some of what is printed."""
        self.received += data
        text, used = codecs.utf_8_decode(self._cut + data, "replace", False)
        self._cut = (self._cut + data)[used:]
        self.screen.take(text)

    def forget(self) -> None:
        """What comes now is looked at."""
        self.received = b""
        self.screen.touched.clear()

    def read_until(self, text: bytes, seconds: float = 20.0) -> None:
        """Take in what is printed until ``text`` is among it, or on a line of which some was printed."""
        self._read_until(lambda: text in self.received or text.decode() in self.screen.text(touched=True), seconds)

    def read_until_printed(self, text: bytes, seconds: float = 20.0) -> None:
        """The same for what a shell prints: its lines are no frames, and one of before may stand where it prints."""
        self._read_until(lambda: text in self.received, seconds)

    def _read_until(self, is_there: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not is_there():
            assert time.monotonic() < until, self.screen.text()
            if select.select([self.master], [], [], 0.2)[0]:
                self.take(os.read(self.master, 1 << 16))

    def settle(self, seconds: float = 0.7) -> None:
        """Take in what is printed until nothing is for a while."""
        while select.select([self.master], [], [], seconds)[0]:
            self.take(os.read(self.master, 1 << 16))

    def exit_code(self, seconds: float = 20.0) -> int:
        """Wait for its end, reading on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.take(os.read(self.master, 1 << 16))
                except OSError:  # the other end is closed
                    time.sleep(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("the app does not end")


Start = Callable[..., Terminal]


@pytest.fixture
def start(runs: RunField) -> Iterator[Start]:
    """Starts the app on the workspace ``runs``, which has a live run and an ended one."""
    runs.run("fox", state="training", step=40)
    runs.run("style")
    started: list[Terminal] = []

    def start(**environment: str) -> Terminal:
        pid, master = pty.fork()
        if pid == 0:
            os.environ.update({"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path), **environment})
            os.execv(sys.executable, [sys.executable, "-m", "sdxl_tui", "--workspace", str(runs.workspace.path)])
        termios.tcsetwinsize(master, (24, 80))
        started.append(Terminal(pid, master))
        return started[-1]

    yield start
    for terminal in started:
        if terminal.pid:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
        os.close(terminal.master)


def test_q_restores_the_terminal_and_exits_0(runs: RunField, start: Start) -> None:
    terminal = start()
    terminal.read_until(b"style")
    terminal.read_until(b"Quit")
    before = list_runs(runs.workspace)
    os.write(terminal.master, b"q")
    assert terminal.exit_code() == 0
    assert b"\x1b[?1049l" in terminal.received  # back from the alternate screen
    assert terminal.received.rindex(b"\x1b[?25h") > terminal.received.rindex(b"\x1b[?25l")  # the cursor is shown
    assert terminal.received.rindex(b"\x1b[?1000l") > terminal.received.rindex(
        b"\x1b[?1000h"
    )  # the mouse is left alone
    assert list_runs(runs.workspace) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_runs_do_not_mind_how_the_app_dies(runs: RunField, start: Start, number: signal.Signals) -> None:
    terminal = start()
    terminal.read_until(b"style")
    before = list_runs(runs.workspace)
    os.kill(terminal.pid, number)
    assert terminal.exit_code() != 0
    assert list_runs(runs.workspace) == before


def test_after_being_killed_it_opens_on_the_same_live_runs(start: Start) -> None:
    terminal = start()
    terminal.read_until(b"1 live")
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.exit_code()
    start().read_until(b"1 live")


def test_what_is_typed_in_one_breath_arrives_in_the_line_that_it_opens(runs: RunField, start: Start) -> None:
    terminal = start()
    terminal.read_until(b"style")
    terminal.read_until(b"Quit")
    for run in list_runs(runs.workspace):
        runs.log(run.directory, *(f"line {number}" if number != 7 else "the needle" for number in range(5000)))
    os.write(terminal.master, b"/style\r")
    terminal.read_until(b"1 of 2")
    os.write(terminal.master, b"\r")
    terminal.read_until(b"line 4999")
    os.write(terminal.master, b"/needle\r")
    terminal.read_until("“needle”".encode())


def test_a_key_sends_what_it_changes_and_ctrl_l_all(start: Start) -> None:
    terminal = start()
    terminal.read_until(b"Quit")
    terminal.settle()
    shown = terminal.screen.text()
    os.write(terminal.master, b"?")
    terminal.read_until(b"esc closes")
    os.write(terminal.master, b"\x1b")
    terminal.settle()
    assert terminal.screen.text() == shown
    terminal.forget()
    os.write(terminal.master, b"j")
    terminal.settle()
    assert terminal.screen.touched < set(range(24))
    shown = terminal.screen.text()
    terminal.screen = TextScreen(80, 24)
    os.write(terminal.master, b"\x0c")
    terminal.settle()
    assert terminal.screen.text() == shown


def test_a_terminal_that_was_another_size_for_a_moment_is_drawn_anew(start: Start) -> None:
    terminal = start()
    terminal.read_until(b"Quit")
    terminal.settle()
    shown = terminal.screen.text()
    terminal.screen = TextScreen(80, 24)
    for size in ((20, 70), (24, 80)):
        termios.tcsetwinsize(terminal.master, size)
        os.kill(terminal.pid, signal.SIGWINCH)
    terminal.settle()
    assert terminal.screen.text() == shown


def test_a_hostile_run_of_others_sends_the_terminal_nothing(runs: RunField, start: Start, tmp_path: Path) -> None:
    """Names of scalars and folders reach the terminal as text, in the table and on the run's page."""
    evil = "\x1b]52;c;UFdORUQ=\x07\x1b]0;PWNED\x07\x9b41m\u202eseen"
    folder = tmp_path / "kohya" / f"fox{evil}20240612103000"
    folder.mkdir(parents=True)
    names = ("loss/current", evil, f"lr/{evil}")
    records = [scalar(name, 0.5, step) for step in range(1, 9) for name in names]
    (folder / "events.out.tfevents.1.h").write_bytes(b"".join(records))
    add_folder(runs.workspace, tmp_path / "kohya")
    terminal = start()
    terminal.read_until(b"watch")
    terminal.settle()
    os.write(terminal.master, b"/state:watched\r\r")
    terminal.read_until(b"only watched")
    terminal.settle()
    os.write(terminal.master, b"vmm")
    terminal.settle()
    assert "seen" in terminal.screen.text()
    for forbidden in (b"\x1b]52", b"\x1b]0;PWNED", b"\x9b41m", "\u202e".encode()):
        assert forbidden not in terminal.received


def shell_with_job_control(runs: RunField) -> Terminal:
    """A shell in a pseudo-terminal that has started the app."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path), "PS1": "ready> "})
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    termios.tcsetwinsize(master, (24, 80))
    terminal = Terminal(pid, master)
    terminal.read_until(b"ready>")
    os.write(master, f"{sys.executable} -m sdxl_tui --workspace {runs.workspace.path}\n".encode())
    return terminal


@pytest.mark.parametrize("by_key", [True, False])
def test_back_from_the_shell_all_is_drawn_again_and_keys_work(runs: RunField, by_key: bool) -> None:
    runs.run("style")
    terminal = shell_with_job_control(runs)
    try:
        terminal.read_until(b"style")
        terminal.read_until(b"Quit")
        if by_key:
            os.write(terminal.master, b"\x1a")
        else:
            (child,) = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
            os.kill(int(child), signal.SIGTSTP)
        terminal.read_until_printed(b"Stopped")
        assert terminal.received.rindex(b"\x1b[?1049l") > terminal.received.rindex(b"\x1b[?1049h")
        terminal.forget()
        os.write(terminal.master, b"fg\n")
        terminal.read_until(b"\x1b[?1049h")
        terminal.read_until(b"Quit")
        terminal.received = b""
        os.write(terminal.master, b"q")
        terminal.read_until_printed(b"ready>")
        os.write(terminal.master, b"exit 7\n")
        assert terminal.exit_code() == 7
    finally:
        if terminal.pid:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
        os.close(terminal.master)


def test_without_a_shell_to_go_to_it_is_not_stopped(start: Start) -> None:
    terminal = start()
    terminal.read_until(b"style")
    terminal.read_until(b"Quit")
    os.write(terminal.master, b"\x1a")
    terminal.read_until(b"There is no shell")
    os.write(terminal.master, b"q")
    assert terminal.exit_code() == 0


def test_without_its_terminal_it_ends_though_no_signal_says_so(runs: RunField) -> None:
    runs.run("style")
    master, slave = pty.openpty()
    termios.tcsetwinsize(master, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "sdxl_tui", "--workspace", str(runs.workspace.path)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,  # as su -c does: the terminal is not the session's own
    )
    os.close(slave)
    terminal = Terminal(process.pid, master)
    try:
        terminal.read_until(b"style")
        terminal.read_until(b"Quit")
        os.close(master)
        assert process.wait(20) != 0
    finally:
        process.kill()
        process.wait()
