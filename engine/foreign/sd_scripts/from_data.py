"""sd-scripts' dataset_config for ``[[dataset.sources]]`` and ``[captions]``, and the lines of a prompt file for ``[samples]``."""

from __future__ import annotations

from typing import Any, Final

from engine.demo import locate
from engine.foreign.sd_scripts.exported import Export, LeftOut, source_default
from engine.foreign.sd_scripts.training_options import SAMPLERS
from engine.profile.sample_prompts import sample_prompts
from engine.profile.schema import Source
from engine.profile.to_toml import toml_value

_SAMPLERS: Final = {ours: theirs for theirs, ours in reversed(SAMPLERS.items())}
_SAME: Final = {
    "flip": ("flip_aug", "dataset.flip"),
    "shuffle": ("shuffle_caption", "captions.shuffle"),
    "keep_tokens": ("keep_tokens", "captions.keep_tokens"),
    "tag_dropout": ("caption_tag_dropout_rate", "captions.tag_dropout"),
    "caption_dropout": ("caption_dropout_rate", "captions.caption_dropout"),
}
"""By a source's field: the option, and the field that holds for all sources."""
_NOT: Final = {
    "trigger": "its class_tokens count for images without a caption alone: write the words into the captions",
    "recursive": "it does not look into the folders inside",
}


def export_data(e: Export) -> tuple[dict[str, Any], ...]:
    """[[datasets]] with their subsets: one for each kind of subset, which sd-scripts does not mix."""
    dataset = e.profile.dataset
    general: dict[str, Any] = {"resolution": dataset.resolution, "batch_size": e.profile.training.batch_size}
    general["enable_bucket"] = dataset.buckets
    if dataset.buckets:
        general |= {"min_bucket_reso": dataset.bucket_min, "max_bucket_reso": dataset.bucket_max}
        general |= {"bucket_reso_steps": dataset.bucket_step, "bucket_no_upscale": not dataset.upscale}
    e.done("training.batch_size", *(f"dataset.{name}" for name in ("resolution", "buckets")))
    if dataset.buckets:
        e.done("dataset.bucket_min", "dataset.bucket_max", "dataset.bucket_step", "dataset.upscale")
    e.done(*(path for _, path in _SAME.values()), "dataset.random_crops")
    if dataset.random_crops or any(source.random_crops for source in dataset.sources):
        e.remarks.append("random_crop draws a new place at each visit there, and needs cache_latents off.")
    _captions(e, general)
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, source in enumerate(dataset.sources):
        kind = "metadata" if source.metadata is not None else "masks" if source.mask_folder is not None else "plain"
        groups.setdefault(kind, []).append(_subset(e, source, number))
    _weights(e)
    return tuple({**general, "subsets": subsets} for subsets in groups.values())


def _captions(e: Export, general: dict[str, Any]) -> None:
    captions = e.profile.captions
    if captions.separator != ",":
        e.say("caption_separator", captions.separator)
    e.done("captions.separator", "captions.keep_separator", "captions.wildcards")
    if captions.keep_separator:
        general["keep_tokens_separator"] = captions.keep_separator
    if captions.wildcards:
        general["enable_wildcard"] = True


def _subset(e: Export, source: Source, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {"image_dir": str(locate(source.path)), "num_repeats": source.repeats}
    without: dict[str, str] = {}
    if source.metadata is not None:
        found["metadata_file"] = source.metadata
        without = dict.fromkeys(("regularisation", "mask_folder"), "its folders with a metadata_file have none")
    else:
        found["caption_extension"] = source.caption_extension
    if source.mask_folder is not None and source.metadata is None:
        found["conditioning_data_dir"] = source.mask_folder
        e.say("masked_loss", True)
        without = {"regularisation": "its folders with masks are never regularisation images"}
    if source.regularisation and not without:
        found["is_reg"] = True
    if source.alpha_mask:
        found["alpha_mask"] = True
    for name, option in (("prefix", "caption_prefix"), ("suffix", "caption_suffix")):
        if getattr(source, name):
            found[option] = getattr(source, name)
    for name, (option, path) in _SAME.items():
        own = getattr(source, name)
        value = e.values[path] if own is None else own
        if value:
            found[option] = value
    crops = e.values["dataset.random_crops"] if source.random_crops is None else source.random_crops
    if crops:
        found["random_crop"] = True
    for name, why in (_NOT | without).items():
        if getattr(source, name) != source_default(name):
            e.left_out.append(LeftOut(f"dataset.sources[{number}].{name}", toml_value(getattr(source, name)), why))
    return found


def _weights(e: Export) -> None:
    plain = [source for source in e.profile.dataset.sources if source.metadata is None and source.mask_folder is None]
    weights = {source.prior_weight for source in plain if source.regularisation}
    if len(weights) == 1 and weights != {1.0}:
        e.say("prior_loss_weight", next(iter(weights)))
    elif len(weights) > 1:
        why = "it has one weight for all regularisation images"
        e.left_out.append(LeftOut("dataset.sources.prior_weight", toml_value(sorted(weights)), why))
    if weights:
        e.remarks.append("Regularisation images are repeated there until they are as many as the others.")


def export_samples(e: Export) -> tuple[str, ...]:
    """The lines of the prompt file, each with all it needs."""
    samples = e.profile.samples
    names = (
        "prompts",
        "negative",
        "width",
        "height",
        "steps",
        "guidance",
        "seed",
        "every_steps",
        "at_start",
        "sampler",
    )
    if not samples.prompts:
        e.done(*(f"samples.{name}" for name in (*names, "guidance_rescale")))
        return ()
    e.done(*(f"samples.{name}" for name in names[:7]))
    if samples.every_steps:
        e.say("sample_every_n_steps", samples.every_steps, "samples.every_steps")
    else:
        e.leave("samples.every_steps", "it draws at intervals alone, not at the end")
    e.say("sample_at_first", samples.at_start or None, "samples.at_start")
    if samples.sampler in _SAMPLERS:
        e.say("sample_sampler", _SAMPLERS[samples.sampler], "samples.sampler")
    else:
        e.leave("samples.sampler", "not among its samplers: euler is written", samples.sampler.value)
        e.say("sample_sampler", "euler")
    lines = []
    for picture in sample_prompts(samples):
        options = [f"--n {picture.negative}"] if picture.negative else []
        options += [
            f"--w {picture.width} --h {picture.height} --d {picture.seed} --s {picture.steps} --l {picture.guidance!r}"
        ]
        if picture.sampler != samples.sampler:
            options.append(f"--ss {_SAMPLERS.get(picture.sampler, 'euler')}")
        lines.append(" ".join([picture.prompt, *options]).strip())
    return tuple(lines)
