"""Samples of a run: before the first step where wanted, each with its own options, without a trace in the training."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, train


def test_samples_at_the_start_each_with_its_own_options(lab: Lab) -> None:
    how = ("training.steps=2", "network.dropout=0.2", "schedule.warmup_steps=0")
    prompts = '["a zorb --w 96 --h 64 --n blurry --ss ddim --s 3", "a zorb --d 9 --l 0 --ss euler_a"]'
    plain = lab.run(*how)
    drawn = lab.run(*how, f"samples.prompts={prompts}", "samples.at_start=true", "samples.every_steps=0")
    assert train(plain) == 0
    assert train(drawn) == 0
    assert [event["step"] for event in events(drawn, "sampled")] == [0, 2]
    sizes = []
    for file in events(drawn, "sampled")[0]["files"]:
        with Image.open(drawn.samples / file) as picture:
            sizes.append(picture.size)
    assert sizes == [(96, 64), (64, 64)]
    assert arithmetic(metrics(drawn)) == arithmetic(metrics(plain))


@pytest.mark.parametrize("how", [(), ("network.text_encoder=true",)], ids=["cached", "trained"])
def test_a_sample_does_not_change_with_the_prompts_beside_it(lab: Lab, how: tuple[str, ...]) -> None:
    long = " ".join(["a"] * 90)
    files = []
    for prompts in ('["a zorb --l 3", "a zorb --l 1"]', f'["a zorb --l 3", "a zorb --l 1 --n {long}", "{long}"]'):
        run = lab.run(*how, "captions.max_tokens=150", f"samples.prompts={prompts}", "samples.at_start=true")
        assert train(run, stop_at=1, save=False) == 0
        files.append([(run.samples / f"step-00000000-0{number}.png").read_bytes() for number in range(2)])
    assert files[0] == files[1]
