"""Ctrl-Z to the shell and fg back, by key or by signal; and the end when the terminal is gone.

Textual does what it takes within the signal's handler. That may interrupt the very call that it makes itself, and then the app
stands still for ever: a frame is being written, and leaving the screen writes too. Here a signal is taken when its turn comes.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from typing import Final

from textual import on
from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from sdxl_tui.terminal.frugal import FrugalFrames

TERMINAL_SECONDS: Final = 3.0
"""Between two looks whether the terminal is still there."""


def has_shell() -> bool:
    """Who started this process does job control: it is of the same session, and gave us a group of our own."""
    parent = os.getppid()
    try:
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False


def has_lost_terminal() -> bool:
    """The terminal is gone. Who has it only as a file (su -c, docker exec) is not told by a signal."""
    try:
        descriptor = sys.__stdin__.fileno() if sys.__stdin__ else -1
    except (OSError, ValueError):
        return False
    watch = select.poll()
    watch.register(descriptor, 0)
    return any(found & select.POLLHUP for _, found in watch.poll(0))


class ShellJob(FrugalFrames, App[None]):
    """An app that a shell can put to sleep and wake, and that ends with its terminal."""

    def on_mount(self) -> None:
        """Take the signals from the driver, which has them from its start."""
        if isinstance(self._driver, LinuxDriver):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTSTP, self._driver._sigtstp_application)
            loop.add_signal_handler(signal.SIGCONT, self._woken, self._driver)
            self.set_interval(TERMINAL_SECONDS, self._end_without_terminal)

    @staticmethod
    def _end_without_terminal() -> None:
        """As a lost connection ends it, by the same signal: nobody would ever end it else."""
        if has_lost_terminal():
            os.kill(os.getpid(), signal.SIGHUP)

    def _woken(self, driver: LinuxDriver) -> None:
        if driver._must_signal_resume:
            driver._sigcont_application()
        else:  # SIGSTOP, which nobody can hear of, or nothing at all: it has the terminal as it had it, and reads keys
            self.action_redraw()

    def action_suspend_process(self) -> None:
        """To the shell, which fg comes back from; where no shell started this (ssh HOST sdxl-tui) nobody could wake it."""
        if has_shell():
            super().action_suspend_process()
        else:
            self.notify("There is no shell behind this app to go to.", title="Ctrl-Z", markup=False, timeout=4)

    @on(Driver.SignalResume)
    def _draw_all(self) -> None:
        """Textual draws what has changed, and the terminal has lost everything."""
        self.action_redraw()
