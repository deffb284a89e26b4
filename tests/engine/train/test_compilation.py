"""A compiled run beside an eager one, its resume, how failures are told; and what is in memory beside the UNet."""

from __future__ import annotations

import gc
import logging
import shutil
from pathlib import Path

import pytest
import torch
import torch._dynamo
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from engine.model.open_base import open_base
from engine.profile.schema import Network
from engine.run.layout import RunDirectory
from engine.train.assemble import assemble
from engine.train.compilation import compilation_failure, compile_blocks
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, same_tensors, start, train

PLAIN = Network()
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on a CPU")
GENTLE = ("launch.compile=true", "optimizer.lr=1e-4", "optimizer.eps=1e-6", "schedule.warmup_steps=0")
# Two sizes in turn; every part of a run that could meet a compiled block.
HARD = (
    *("training.steps=4", "training.gradient_accumulation=2", "training.batch_size=3", "ema.decay=0.9"),
    *("dataset.resolution=96", "dataset.bucket_max=128", "network.text_encoder=true"),
    *('samples.prompts=["a red zorb --w 96 --h 64"]', "samples.every_steps=2", "validation.every_steps=2"),
    "checkpoints.every_steps=2",
)


def test_the_transformer_blocks_are_compiled_and_nothing_else() -> None:
    unet = open_base("bundled:demo-base").unet()
    compile_blocks(unet, PLAIN, pytest.fail)
    compiled = {type(module).__name__ for module in unet.modules() if module._compiled_call_impl is not None}
    assert compiled == {"BasicTransformerBlock"}


def test_kinds_that_gain_less_are_named() -> None:
    said: list[str] = []
    compile_blocks(open_base("bundled:demo-base").unet(), Network(dora=True), said.append)
    assert len(said) == 1 and "DoRA" in said[0]


@pytest.fixture(scope="module")
def two_sizes(lab: Lab) -> str:
    """Six pictures in two buckets, as an override."""
    folder = lab.root / "two-sizes"
    folder.mkdir()
    for number, picture in enumerate(sorted(lab.pictures.glob("*.png"))):
        with Image.open(picture) as image:
            image.convert("RGB").resize((64, 128) if number < 3 else (128, 64)).save(folder / picture.name)
        shutil.copy(picture.with_suffix(".txt"), folder)
    return f'dataset.sources=[{{path="{folder}"}}]'


@pytest.fixture(scope="module")
def pair(lab: Lab, two_sizes: str) -> tuple[RunDirectory, RunDirectory]:
    """A run without and one with the compiler."""
    pictures = f'validation.folders=["{lab.pictures}"]'
    runs = (
        lab.run(*GENTLE, *HARD, two_sizes, pictures, "launch.compile=false"),
        lab.run(*GENTLE, *HARD, two_sizes, pictures),
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        for run in runs:
            AcceleratorState._reset_state(reset_partial_state=True)
            torch._dynamo.reset()
            torch._dynamo.utils.counters.clear()
            assert train(run) == 0
    return runs


@needs_compiler
def test_a_compiled_run_trains_what_an_eager_one_trains(pair: tuple[RunDirectory, RunDirectory]) -> None:
    eager, compiled = pair
    # Of fixed and of free sizes, and the trial; none for samples and validations.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3
    assert not torch._dynamo.utils.counters["graph_break"]
    assert [event["step"] for event in events(compiled, "validated")] == [0, 2, 4]
    assert len(events(compiled, "sampled")) == 2
    assert not events(compiled, "warning")
    for ours, theirs in zip(metrics(compiled), metrics(eager), strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-3)
    assert events(compiled, "validated")[0]["loss"] == events(eager, "validated")[0]["loss"]
    for file in ("lora.safetensors", "trainable.safetensors", "ema.safetensors", "optimizer.safetensors"):
        ours, theirs = (load_file(run.checkpoint(4) / file) for run in (compiled, eager))
        assert ours.keys() == theirs.keys(), file
        assert not any("_orig_mod" in name for name in ours)
        if file != "optimizer.safetensors":
            assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-4, file


@needs_compiler
def test_a_resume_of_a_compiled_run_is_exact(lab: Lab, pair: tuple[RunDirectory, RunDirectory]) -> None:
    straight = pair[1]
    again = lab.copy(straight, "compiled-again")
    shutil.rmtree(again.checkpoint(4))
    torch._dynamo.reset()
    assert train(again) == 0
    assert arithmetic(metrics(again, attempt=2)) == arithmetic(metrics(straight)[2:])
    for name in ("trainable.safetensors", "optimizer.safetensors", "ema.safetensors"):
        assert same_tensors(again.checkpoint(4), straight.checkpoint(4), name)


def test_without_a_compiler_a_run_is_refused_before_anything_is_prepared(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    run = lab.run("launch.compile=true")
    assert start(run).wait(300) == 2
    (failed,) = events(run, "failed")
    assert failed["where"] == "launch.compile"
    assert "No working C++ compiler found" in failed["message"]
    assert "apt install g++" in failed["hint"]
    assert not events(run, "cached")


def test_a_limit_that_torch_only_logs_is_told_once() -> None:
    said: list[str] = []
    compile_blocks(open_base("bundled:demo-base").unet(), PLAIN, said.append)
    logger = logging.getLogger("torch._dynamo.convert_frame")
    for _ in range(2):
        logger.warning("torch._dynamo hit config.%s (%s)", "recompile_limit", 64)
    assert len(said) == 1 and "64" in said[0]


def test_a_failure_of_the_compiler_is_told_as_one() -> None:
    def backend(*_: object) -> None:
        raise RuntimeError("no registers left")

    with pytest.raises(BackendCompilerFailed) as failed:
        torch.compile(lambda tensor: tensor + 1, backend=backend)(torch.zeros(2))
    told = compilation_failure(failed.value)
    assert told is not None
    assert "no registers left" in told.what
    assert told.where == "launch.compile"
    assert compilation_failure(ValueError("another")) is None


def test_once_all_is_cached_neither_vae_nor_text_encoders_are_in_memory(lab: Lab) -> None:
    run = lab.run('samples.prompts=["a red zorb"]')
    reporter = Reporter(run, 1)
    training = assemble(run, 1, None, reporter, Requests())
    reporter.close()
    gc.collect()
    kinds = {type(found).__name__ for found in gc.get_objects() if issubclass(type(found), nn.Module)}
    assert training.unet is not None
    assert "UNet2DConditionModel" in kinds
    assert not kinds & {"AutoencoderKL", "CLIPTextModel", "CLIPTextModelWithProjection"}
