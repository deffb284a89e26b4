"""``python -m sdxl_tui``: the same as the ``sdxl-tui`` command."""

import sys

from sdxl_tui.cli import main

if __name__ == "__main__":
    sys.exit(main())
