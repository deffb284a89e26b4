"""``sdxl-tui schema``: printed, or written where an editor finds it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.sdxl_tui.cli.cli_runner import run_in_process


def test_it_is_printed_as_json() -> None:
    result = run_in_process("schema")
    assert result.code == 0
    assert result.json["properties"]["optimizer"]["properties"]["lr"]["exclusiveMinimum"] == 0


def test_it_is_written_again_over_itself_but_over_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "sdxl-tui.schema.json"
    for _ in range(2):
        result = run_in_process("schema", "--output", str(target))
        assert result.code == 0
    assert "#:schema ./sdxl-tui.schema.json" in result.err
    assert json.loads(target.read_text()) == run_in_process("schema").json
    target.write_text("mine")
    refused = run_in_process("schema", "--output", str(target))
    assert refused.code == 2 and "is there already" in refused.err
    assert target.read_text() == "mine"
    assert run_in_process("schema", "--output", str(target), "--force").code == 0
