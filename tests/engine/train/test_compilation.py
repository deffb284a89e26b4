"""Regional compilation: what it takes hold of, and how its failures are told; and what is in memory beside the UNet."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from engine.model.open_base import open_base
from engine.train.assemble import assemble
from engine.train.compilation import CompilationError, compilation_failure, compile_blocks
from engine.train.reporter import Reporter
from engine.train.requests import Requests
from tests.engine.train.train_runs import Lab

CPU = torch.device("cpu")


def test_the_transformer_blocks_are_compiled_and_nothing_else() -> None:
    unet = open_base("bundled:demo-base").unet()
    compile_blocks(unet, CPU)
    compiled = {type(module).__name__ for module in unet.modules() if module._compiled_call_impl is not None}
    assert compiled == {"BasicTransformerBlock"}


def test_without_a_compiler_a_cpu_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.train.compilation.shutil.which", lambda _: None)
    with pytest.raises(CompilationError, match="needs a C\\+\\+ compiler"):
        compile_blocks(nn.Identity(), CPU)


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
