"""docs/coming-from-sd-scripts.md says what the options' declarations say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.foreign.sd_scripts.table import ARGUMENTS, OPTIONS

ROOT = Path(__file__).parents[4]
DOCUMENT = ROOT / "docs" / "coming-from-sd-scripts.md"


def test_the_document_is_up_to_date() -> None:
    program = "import sys; sys.path.insert(0, 'scripts'); import write_sd_scripts_reference as w; sys.stdout.write(w.reference())"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
    assert result.stdout.decode() == DOCUMENT.read_text(encoding="utf-8"), "run scripts/write_sd_scripts_reference.py"


def test_every_option_stands_in_it() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert not [name for name in (*OPTIONS, *ARGUMENTS) if f"`{name}`" not in text]
