"""docs/profile-reference.md says what the schema says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.profile.fields import TABLES, profile_fields, table_fields

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "profile-reference.md"


def test_the_document_is_up_to_date() -> None:
    program = "import sys; sys.path.insert(0, 'scripts'); import write_profile_reference as w; sys.stdout.write(w.reference())"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
    assert result.stdout.decode() == DOCUMENT.read_text(encoding="utf-8"), "run scripts/write_profile_reference.py"


def test_every_field_stands_in_it_with_its_help() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for field in (*profile_fields(), *(field for array in TABLES for field in table_fields(array))):
        if field.path not in TABLES:
            assert f"| `{field.name}` | " in text
            assert field.help in text
