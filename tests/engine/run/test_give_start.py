"""What a child is given later: wherever the giving is cut short, it can be done again, and no record names what is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.profile.schema import Dataset, Model, Profile, Source
from engine.run.create import Inheritance, create_run, give_start
from engine.run.layout import RunDirectory
from engine.run.records import Parent, RunRecord

PROFILE = Profile(model=Model(base="bundled:demo-base"), dataset=Dataset(sources=(Source(path="bundled:demo-images"),)))
LATER = Parent("parent", "", 40, "reschedule")
GIVEN = Parent("parent", "step-00000040", 40, "reschedule")


class Cut(BaseException):
    """Power, a signal: nothing after this is done."""


def record_of(run: RunDirectory) -> RunRecord:
    record = RunRecord.read(run.record)
    assert record is not None
    return record


@pytest.mark.parametrize("cut_at", range(1, 7))
def test_a_giving_that_is_cut_short_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_at: int) -> None:
    checkpoint = tmp_path / "step-00000040"
    checkpoint.mkdir()
    for name in ("trainable.safetensors", "optimizer.safetensors", "state.json"):
        (checkpoint / name).write_text(name)
    run = create_run(tmp_path / "runs", PROFILE, source=None, parent=LATER)
    calls = 0

    def cut(real: object) -> object:
        def call(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == cut_at:
                raise Cut
            return real(*arguments, **named)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", cut(shutil.copyfile))
        patch.setattr(Path, "rename", cut(Path.rename))
        patch.setattr(Path, "replace", cut(Path.replace))
        if cut_at <= 5:
            with pytest.raises(Cut):
                give_start(run, Inheritance(checkpoint=checkpoint), GIVEN)
            assert record_of(run).parent == LATER
        else:
            give_start(run, Inheritance(checkpoint=checkpoint), GIVEN)
    give_start(run, Inheritance(checkpoint=checkpoint), GIVEN)
    assert record_of(run).parent == GIVEN
    assert sorted(path.name for path in run.start_checkpoint.iterdir()) == sorted(p.name for p in checkpoint.iterdir())
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]
