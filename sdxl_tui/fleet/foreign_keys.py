"""What the keys of states and files of other trainers begin with in lists that hold runs, too."""

from typing import Final

FOREIGN_KEY: Final = "/"
"""No run's id begins with it."""
