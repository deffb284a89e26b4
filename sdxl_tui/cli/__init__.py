"""The ``sdxl-tui`` command: everything the app does, for scripts and for people who know what they want.

Start-up is part of the job: nothing here imports Textual, Rich or pydantic until a command needs it.
"""

from sdxl_tui.cli.entry import main

__all__ = ["main"]
