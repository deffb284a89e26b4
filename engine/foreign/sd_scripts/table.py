"""All options in one table, and what a name that is not in it most likely meant."""

from __future__ import annotations

import difflib
from typing import Final

from engine.foreign.sd_scripts.data_options import DATA_OPTIONS
from engine.foreign.sd_scripts.network_options import ARGUMENT_OPTIONS, NETWORK_OPTIONS
from engine.foreign.sd_scripts.option import Option
from engine.foreign.sd_scripts.other_options import OTHER_OPTIONS
from engine.foreign.sd_scripts.training_options import TRAINING_OPTIONS

SD_SCRIPTS: Final[dict[str, Option]] = {
    option.name: option for option in (*TRAINING_OPTIONS, *DATA_OPTIONS, *NETWORK_OPTIONS)
}
"""Options of its own command line and configs, by name."""
OPTIONS: Final[dict[str, Option]] = {option.name: option for option in OTHER_OPTIONS} | SD_SCRIPTS
"""Options of the command line, of configs and of the GUI's files, by name."""
ARGUMENTS: Final[dict[str, Option]] = {option.name: option for option in ARGUMENT_OPTIONS}
"""What may stand in ``network_args``, by name."""


def nearest(name: str, table: dict[str, Option] = OPTIONS) -> str | None:
    """The option that ``name`` most likely meant; None if nothing is near."""
    if len(name) > 2 and (longer := [option for option in table if option.startswith(name.lower())]):
        return min(longer, key=len)
    close = difflib.get_close_matches(name.lower(), table, n=1, cutoff=0.72)
    return close[0] if close else None
