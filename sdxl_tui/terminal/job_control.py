"""Ctrl-Z to the shell and fg back, by key or by signal.

Textual does what it takes within the signal's handler. That may interrupt the very call that it makes itself, and then the app
stands still for ever: a frame is being written, and leaving the screen writes too. Here a signal is taken when its turn comes.
"""

from __future__ import annotations

import asyncio
import os
import signal

from textual import on
from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from sdxl_tui.terminal.frugal import FrugalFrames


def has_shell() -> bool:
    """Who started this process does job control: it is of the same session, and gave us a group of our own."""
    parent = os.getppid()
    try:
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False


class ShellJob(FrugalFrames, App[None]):
    """An app that a shell can put to sleep and wake."""

    def on_mount(self) -> None:
        """Take the signals from the driver, which has them from its start."""
        if isinstance(self._driver, LinuxDriver):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTSTP, self._driver._sigtstp_application)
            loop.add_signal_handler(signal.SIGCONT, self._woken, self._driver)

    @staticmethod
    def _woken(driver: LinuxDriver) -> None:
        if driver._must_signal_resume:  # else nobody had put it to sleep, and it reads keys already
            driver._sigcont_application()

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
