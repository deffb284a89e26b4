"""Sample pictures of a training: when they are due, the encoded prompts, the VAE, and the files.

Drawing is ``engine.model.sampling``'s. Nothing here changes the training: every random generator is put back, and what goes
wrong with a picture is a warning.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from engine.durable import write_atomically
from engine.model.sampling import Picture, draw_samples
from engine.model.vae import vae_dtype
from engine.profile.sample_prompts import SamplePrompt, sample_prompts
from engine.profile.schema import Samples
from engine.run.layout import RunDirectory
from engine.train import rng
from engine.train.compilation import eagerly
from engine.train.reporter import Reporter
from engine.train.training import Training


def prompts_of(settings: Samples) -> tuple[str, ...]:
    """Every text that drawing the samples needs encoded, each once; none if there are no samples."""
    pictures = sample_prompts(settings)
    return tuple(dict.fromkeys(text for picture in pictures for text in (picture.prompt, picture.negative)))


class Sampler:
    """Draws the samples of one training into its run."""

    def __init__(self, run: RunDirectory, training: Training, reporter: Reporter) -> None:
        """Nothing is loaded before the first samples."""
        self._run, self._training, self._reporter = run, training, reporter
        self._vae: Any = None

    @property
    def has_prompts(self) -> bool:
        """There is something to draw."""
        return bool(self._training.profile.samples.prompts)

    def is_due(self) -> bool:
        """Whether samples are due by themselves: at their interval, after the last step, and where wanted before the first."""
        settings = self._training.profile.samples
        step, every = self._training.progress.step, settings.every_steps
        if step == 0:
            return self.has_prompts and settings.at_start
        return self.has_prompts and (self._training.is_finished or bool(every and step % every == 0))

    def draw(self, should_stop: Callable[[], bool]) -> str | None:
        """Draw and write the samples of this step. Returns None, or why some are missing."""
        step, began = self._training.progress.step, time.monotonic()
        self._reporter.state("sampling", step=step)
        state = rng.capture(self._training.noise)
        try:
            pictures = self._pictures(should_stop)
            files = self._write(step, pictures)
        except (OSError, MemoryError, torch.OutOfMemoryError) as error:
            problem = f"no samples of step {step}: {_reason(error)}"
            self._reporter.warning(problem, str(self._run.samples))
            return problem
        finally:
            rng.restore(state, self._training.noise)
            if self._training.compute.device.type == "cuda":
                self._put_vae_aside()
            self._reporter.state("training")
        if files:
            self._reporter.sampled(step, files, time.monotonic() - began)
        wanted = len(self._training.profile.samples.prompts)
        return None if len(files) == wanted else f"interrupted after {len(files)} of {wanted}"

    def _pictures(self, should_stop: Callable[[], bool]) -> list[Image.Image]:
        profile = self._training.profile
        with self._training.averaged(profile.ema.samples), eagerly(compiled=profile.launch.compile):
            return self._drawn(profile.samples, should_stop)

    def _drawn(self, settings: Samples, should_stop: Callable[[], bool]) -> list[Image.Image]:
        prediction = self._training.objective.process.prediction
        return draw_samples(
            self._training.unet,
            self._vae_in_place(),
            [self._encoded(how) for how in sample_prompts(settings)],
            scheduler=lambda sampler: self._training.base.sampling_scheduler(prediction, sampler),
            should_stop=should_stop,
        )

    def _encoded(self, how: SamplePrompt) -> Picture:
        """The picture to draw; as long as its own texts, whatever the other prompts are."""
        texts = (how.prompt, how.negative) if how.guidance > 1 else (how.prompt,)
        prompt_embeds, pooled = self._training.encoded(texts)
        return Picture(how, (prompt_embeds[:1], pooled[:1]), (prompt_embeds[-1:], pooled[-1:]))

    def _vae_in_place(self) -> Any:
        if self._vae is None:
            base, compute = self._training.base, self._training.compute
            self._vae = base.vae(dtype=vae_dtype(base.configs.vae, compute.dtype, compute.device))
        return self._vae.to(self._training.compute.device)

    def _put_vae_aside(self) -> None:
        """Back to the host: between two samples a GPU's memory belongs to the training."""
        if self._vae is not None:
            self._vae.to("cpu")
        torch.cuda.empty_cache()

    def _write(self, step: int, pictures: Sequence[Image.Image]) -> list[Path]:
        self._run.samples.mkdir(exist_ok=True)
        files = []
        for index, picture in enumerate(pictures):
            data = io.BytesIO()
            picture.save(data, "PNG")
            path = self._run.samples / f"step-{step:08d}-{index:02d}.png"
            write_atomically(path, data.getvalue(), durable=False)
            files.append(path)
        return files


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "not enough memory; smaller samples (samples.width, samples.height) need less"
