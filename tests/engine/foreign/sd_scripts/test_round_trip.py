"""A profile in sd-scripts' words and back is the same profile, but for what the export named as left out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.foreign.sd_scripts.exported import Exported
from engine.foreign.sd_scripts.exporting import export_profile
from engine.foreign.sd_scripts.importing import import_file
from engine.profile.load import parse_profile
from engine.profile.sample_prompts import sample_prompts
from engine.profile.schema import Part, Profile, Source
from tests.engine.profile.profile_strategies import tables, with_rules_held

words = st.text("abc XYZ-09_äé", min_size=1, max_size=12).map(str.strip).filter(bool)
paths = words.map(lambda name: f"/no/such/place/{name}")


@st.composite
def plain_profiles(draw: st.DrawFn) -> Profile:
    """Valid profiles whose texts are such as people write: no control characters, absolute paths."""
    found = draw(tables())
    found["model"] = {name: draw(paths) for name in found["model"]}
    for source in found["dataset"]["sources"]:
        source |= {name: draw(paths) for name in ("path", "metadata", "mask_folder") if name in source}
        source |= {name: draw(words) for name in ("trigger", "prefix", "suffix") if name in source}
        if not source.get("regularisation"):
            source.pop("prior_weight", None)
    network = found.get("network", {})
    if "start_from" in network:
        network["start_from"] = draw(paths)
    if "samples" in found:
        found["samples"] |= {"prompts": draw(st.lists(words, max_size=3)), "negative": draw(words)}
    found.get("logging", {}).pop("project", None)
    return Profile.model_validate(with_rules_held(found))


def write_files(exported: Exported, folder: Path) -> Path:
    """The files as the command writes them; returns the config."""
    prompts, config, data = folder / "prompts.txt", folder / "config.toml", folder / "data.toml"
    prompts.write_text("\n".join(exported.prompts) + "\n", encoding="utf-8")
    data.write_text(exported.dataset_text("p"), encoding="utf-8")
    further = {"dataset_config": str(data)} | ({"sample_prompts": str(prompts)} if exported.prompts else {})
    config.write_text(exported.config_text("p", further), encoding="utf-8")
    return config


def there_and_back(profile: Profile) -> tuple[Exported, Profile]:
    exported = export_profile(profile)
    with tempfile.TemporaryDirectory() as folder:
        imported = import_file(write_files(exported, Path(folder)))
        return exported, parse_profile(imported.text, folder=Path(folder)).profile


def meaning(profile: Profile, left_out: set[str]) -> dict[str, Any]:
    """What a training of the profile does, in terms that do not depend on how it is written."""
    values = {path: value for path, value in profile.values().items() if path not in left_out}
    for section in ("network", "optimizer", "schedule", "samples", "dataset", "captions"):
        values = {path: value for path, value in values.items() if not path.startswith(f"{section}.")}
    parts = [part for part in Part if profile.network.trains(part)]
    whole = not {path for path in left_out if path.startswith(("network.", "optimizer.", "schedule."))}
    if whole:
        values["parts"] = {
            part: (profile.network.rank_of(part), round(profile.network.alpha_of(part), 6)) for part in parts
        }
        values["rates"] = profile.base_lrs
        values["optimizer"] = (profile.optimizer.kind, profile.optimizer.hyperparameters())
        values["schedule"] = profile.schedule.over(profile.training.steps)
        network = profile.network
        values["network"] = (
            network.kind,
            network.dora,
            network.rank_stabilized,
            network.lokr_factor,
            network.start_from,
        )
        values["dropouts"] = (network.dropout, network.rank_dropout, network.module_dropout, network.scale_weight_norms)
    values["loss.delta"] = 0.1 if profile.loss.delta is None else profile.loss.delta
    values["loss.adaptive_noise_scale"] = profile.loss.adaptive_noise_scale or None
    values["loss.prediction"] = profile.loss.prediction == "v_prediction"
    values["loss.zero_terminal_snr"] = profile.loss.zero_terminal_snr == "on"
    values["loss.multires_discount"] = 0.3 if profile.loss.multires_discount is None else profile.loss.multires_discount
    values["loss.delta_scale"] = 1 if profile.loss.delta_scale is None else profile.loss.delta_scale
    values["loss.max_timestep"] = 1000 if profile.loss.max_timestep is None else profile.loss.max_timestep
    if not profile.validation.share:
        values.pop("validation.every_steps", None)
        values.pop("validation.seed", None)
    values["logging.trackers"] = set(profile.logging.trackers)
    if not profile.samples.prompts:
        values["samples"] = None
    elif not {path for path in left_out if path.startswith("samples.")}:
        values["samples"] = (sample_prompts(profile.samples), profile.samples.every_steps, profile.samples.at_start)
    return values | data_of(profile)


def without_left_out(profile: Profile, left_out: set[str]) -> Profile:
    """The profile whose sources have no more than could be expressed."""
    sources = []
    for number, source in enumerate(profile.dataset.sources):
        names = {path.partition("].")[2] for path in left_out if path.startswith(f"dataset.sources[{number}].")}
        sources.append(source.model_copy(update={name: Source.model_fields[name].default for name in names}))
    dataset = profile.dataset.model_copy(update={"sources": tuple(sources)})
    return profile.model_copy(update={"dataset": dataset})


def data_of(profile: Profile) -> dict[str, Any]:
    dataset, captions = profile.dataset, profile.captions
    sizes = [dataset.resolution, dataset.buckets]
    if dataset.buckets:
        sizes += [dataset.bucket_min, dataset.bucket_max, dataset.bucket_step, dataset.upscale]
    texts = (captions.weights, captions.max_tokens, captions.separator, captions.wildcards)
    order = {"plain": [], "metadata": [], "masks": []}  # type: dict[str, list[Any]]
    for source in dataset.sources:
        kind = "metadata" if source.metadata else "masks" if source.mask_folder else "plain"
        order[kind].append(seen(source, profile))
    groups = sorted(order.values(), key=repr)
    return {"sizes": sizes, "texts": texts, "sources": groups}


def seen(source: Source, profile: Profile) -> tuple[Any, ...]:
    def of(name: str, section: str) -> Any:
        own = getattr(source, name)
        return getattr(getattr(profile, section), name) if own is None else own

    chances = (of("tag_dropout", "captions"), of("caption_dropout", "captions"), of("shuffle", "captions"))
    kept = of("keep_tokens", "captions") if chances[0] or chances[2] else 0
    where = (source.path, source.metadata, source.mask_folder, source.repeats, source.alpha_mask)
    is_reg = source.regularisation
    extension = None if source.metadata else source.caption_extension
    mirrored = (of("flip", "dataset"), of("random_crops", "dataset") > 0)
    return (*where, extension, source.prefix, source.suffix, is_reg, *mirrored, *chances, kept)


@settings(max_examples=50, deadline=None)
@given(plain_profiles())
def test_what_both_can_say_comes_back(profile: Profile) -> None:
    exported, back = there_and_back(profile)
    left_out = {line.field for line in exported.left_out}
    assert meaning(back, left_out) == meaning(without_left_out(profile, left_out), left_out)
