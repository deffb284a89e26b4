"""What is said about the folders a profile names, before anything is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.demo import locate
from engine.profile.load import LoadedProfile, ProfileError, parse_profile
from engine.profile.preflight import check_inputs
from tests.engine.model.full_size import full_size_shapes, write_hollow

BASE = locate("bundled:demo-base")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return shutil.copytree(BASE, tmp_path / "base")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.JPG"):
        (folder / name).write_bytes(b"x")
        (folder / name).with_suffix(".txt").write_text("a caption")
    return folder


def profile(base: object, *sources: object) -> LoadedProfile:
    text = f'[model]\nbase = "{base}"\n' + "".join(f'[[dataset.sources]]\npath = "{path}"\n' for path in sources)
    return parse_profile(text, folder=Path("/w"), source=Path("cat.toml"))


def refused(loaded: LoadedProfile) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        check_inputs(loaded.profile, loaded)
    return [str(problem) for problem in caught.value.problems]


def test_a_whole_base_and_captioned_images_pass(base: Path, images: Path) -> None:
    loaded = profile(base, images, "bundled:demo-images")
    assert check_inputs(loaded.profile, loaded) == []


def test_all_missing_folders_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    found = refused(profile(tmp_path / "a" / "b", tmp_path / "no", "bundled:cats"))
    assert len(found) == 3
    assert found[0].startswith(
        f'cat.toml:2:1: model.base = "{tmp_path}/a/b": there is no such folder or file ({tmp_path}'
    )
    assert found[1].startswith(f'cat.toml:4:1: dataset.sources[0].path = "{tmp_path}/no": there is no such folder')
    assert "nothing of that name is bundled: there are bundled:demo-base and bundled:demo-images" in found[2]


def damage_nothing_but_index(base: Path) -> None:
    (base / "model_index.json").unlink()


def damage_part(base: Path) -> None:
    shutil.rmtree(base / "text_encoder_2")
    shutil.rmtree(base / "vae")


def damage_config(base: Path) -> None:
    (base / "unet" / "config.json").write_text("{")


def change_architecture(base: Path) -> None:
    path = base / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"addition_embed_type": None, "in_channels": 9}))


def damage_weights(base: Path) -> None:
    for path in (base / "unet").glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (damage_nothing_but_index, ["is not a diffusers folder: it has no model_index.json"]),
        (damage_part, ["lacks the folders vae, text_encoder_2"]),
        (damage_config, ["unet/config.json is missing or not readable"]),
        (change_architecture, ["addition_embed_type is None, not 'text_time'", "takes 9 channels, not 4"]),
        (damage_weights, ["unet/ has no *.safetensors weights"]),
    ],
)
def test_a_folder_that_is_no_sdxl_base_is_refused_with_the_reason(
    base: Path, images: Path, damage: object, messages: list[str]
) -> None:
    assert callable(damage)
    damage(base)
    found = refused(profile(base, images))
    assert len(found) == len(messages)
    for problem, message in zip(found, messages, strict=True):
        assert message in problem


def test_a_single_file_base_passes(tmp_path: Path, images: Path) -> None:
    file = write_hollow(tmp_path / "sdxl.safetensors", full_size_shapes())
    loaded = profile(file, images)
    assert check_inputs(loaded.profile, loaded) == []


def test_what_a_single_file_is_instead_of_a_base_is_told_in_one_line(tmp_path: Path, images: Path) -> None:
    file = write_hollow(tmp_path / "lora.safetensors", {"lora_unet_mid_block.lora_down.weight": (4, 4)})
    (problem,) = refused(profile(file, images))
    assert problem == (
        f'cat.toml:2:1: model.base = "{file}": this is a LoRA, not a base model; '
        "name the base it was trained on; a LoRA goes on top of one"
    )
    file.write_bytes(b"PK\x03\x04" + bytes(30))
    assert "this is a pickle (.ckpt, .pt), which may hold code" in refused(profile(file, images))[0]


def test_no_image_anywhere_is_refused(base: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("x")
    (empty / ".hidden.png").write_text("x")
    (empty / "folder.png").mkdir()
    (found,) = refused(profile(base, empty))
    assert f"no image in {empty}; images end in .png" in found


def test_a_folder_without_images_beside_one_with_some_is_a_warning(base: Path, images: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    shutil.copytree(images, outer / "inner")
    loaded = profile(base, images, outer)
    (warning,) = check_inputs(loaded.profile, loaded)
    assert str(warning).startswith(
        f'cat.toml:6:1: dataset.sources[1].path = "{outer}": holds no images; its subfolders do'
    )


def with_source(base: Path, source: str) -> LoadedProfile:
    text = f'[model]\nbase = "{base}"\n[[dataset.sources]]\n{source}\n'
    return parse_profile(text, folder=base, source=Path("cat.toml"))


def test_a_source_is_looked_at_as_it_says(base: Path, images: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    shutil.copytree(images, outer / "inner")
    for caption in (outer / "inner").glob("*.txt"):
        caption.rename(caption.with_suffix(".caption"))
    shutil.copytree(images, outer / "masks")
    settings = f'path = "{outer}"\nrecursive = true\nmask_folder = "{outer}/masks"\n'
    loaded = with_source(base, f'{settings}caption_extension = ".caption"')
    assert check_inputs(loaded.profile, loaded) == []
    (warning,) = check_inputs(with_source(base, settings).profile)
    assert "have no caption (a .txt of the same name)" in str(warning)
    assert 'set caption_extension = ".caption"' in str(warning)


@pytest.mark.parametrize(
    ("name", "reason"), [("mask_folder", "there is no such folder"), ("metadata", "there is no such file")]
)
def test_masks_and_metadata_that_are_not_there_are_refused(base: Path, images: Path, name: str, reason: str) -> None:
    (problem,) = refused(with_source(base, f'path = "{images}"\n{name} = "/nowhere"'))
    assert f'cat.toml:5:1: dataset.sources[0].{name} = "/nowhere": {reason}' in problem


def test_images_without_captions_are_a_warning(base: Path, images: Path) -> None:
    (images / "a.txt").unlink()
    loaded = profile(base, images)
    (warning,) = check_inputs(loaded.profile, loaded)
    assert "1 of 2 images have no caption" in warning.message
    assert check_inputs(loaded.profile)[0].file == "profile"


def with_vae(loaded: LoadedProfile, vae: object) -> LoadedProfile:
    return parse_profile(
        loaded.text.replace("[[dataset", f'vae = "{vae}"\n[[dataset', 1), folder=Path("/w"), source=loaded.source
    )


def test_a_separate_vae_is_looked_at(base: Path, images: Path, tmp_path: Path) -> None:
    loaded = with_vae(profile(base, images), base / "vae")
    assert check_inputs(loaded.profile, loaded) == []
    (missing,) = refused(with_vae(profile(base, images), tmp_path / "no"))
    assert missing.startswith(f'cat.toml:3:1: model.vae = "{tmp_path}/no": there is no such folder or file ({tmp_path}')
    lora = write_hollow(tmp_path / "lora.safetensors", {"lora_unet_mid_block.lora_down.weight": (4, 4)})
    assert "this is no VAE of SDXL" in refused(with_vae(profile(base, images), lora))[0]


def test_a_single_file_may_lack_the_vae_that_is_named_beside_it(base: Path, images: Path, tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in full_size_shapes().items() if not name.startswith("first_stage_model.")}
    loaded = profile(write_hollow(tmp_path / "no-vae.safetensors", shapes), images)
    assert "the file has no VAE; name one: model.vae" in refused(loaded)[0]
    loaded = with_vae(loaded, base)
    assert check_inputs(loaded.profile, loaded) == []


def test_a_model_on_the_hub_is_said_to_be_fetched(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    loaded = with_vae(profile("owner/model", images), "owner/vae@v2")
    assert (loaded.profile.model.base, loaded.profile.model.vae) == ("owner/model", "owner/vae@v2")
    first, second = check_inputs(loaded.profile, loaded)
    assert first.message.startswith(
        'model.base = "owner/model": is no file or folder here, so it is a model on the Hugging'
    )
    assert "it is fetched when the run starts" in first.message
    assert second.message.startswith('model.vae = "owner/vae@v2": is no file or folder here')

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert [f"it is not in {tmp_path}/hub, and HF_HUB_OFFLINE forbids" in problem for problem in refused(loaded)] == [
        True
    ] * 2

    snapshot = tmp_path / "hub" / "models--owner--model" / "snapshots" / ("0" * 40)
    shutil.copytree(BASE, snapshot)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    fetched = profile("owner/model", images)
    assert check_inputs(fetched.profile, fetched) == []
    shutil.rmtree(snapshot / "unet")
    assert "it is not complete in" in refused(fetched)[0]


def test_a_folder_of_a_hub_s_shape_is_a_folder(base: Path, images: Path) -> None:
    text = f'[model]\nbase = "{base.parent.name}/{base.name}"\n[[dataset.sources]]\npath = "{images}"\n'
    loaded = parse_profile(text, folder=base.parents[1])
    assert loaded.profile.model.base == str(base)
    assert check_inputs(loaded.profile, loaded) == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            "[network]\nrank = 4\n",
            "network.alpha = 16.0: is above network.rank 4: it multiplies what the LoRA adds by 4",
        ),
        ("[training]\nsteps = 10\n[schedule]\nwarmup_steps = 6\n", "is more than half of training.steps 10"),
        ("[training]\nbatch_size = 25\n", "is more than the 24 images of an epoch, repeats counted"),
        ("[training]\nbatch_size = 13\n[launch]\nprocesses = 2\n", "on 2 processes is more than the 24 images"),
        (
            "[dataset]\nresolution = 1000\n",
            "is no multiple of dataset.bucket_step 64: square images are seen at 960 × 960; write 960 or 1024",
        ),
        ("[optimizer]\nlr = 0.5\n", "is far above the usual rates of adamw"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(base: Path, lines: str, told: str) -> None:
    text = f'[model]\nbase = "{base}"\n[[dataset.sources]]\npath = "bundled:demo-images"\n{lines}'
    loaded = parse_profile(text, folder=Path("/w"), source=Path("cat.toml"))
    warnings = [str(problem) for problem in check_inputs(loaded.profile, loaded)]
    assert len(warnings) == 1 and told in warnings[0], warnings


def test_a_lora_to_start_from_that_is_not_there_is_told(base: Path) -> None:
    text = f'[model]\nbase = "{base}"\n[network]\nstart_from = "gone.safetensors"\n'
    text += '[[dataset.sources]]\npath = "bundled:demo-images"\n'
    found = refused(parse_profile(text, folder=Path("/w"), source=Path("cat.toml")))
    assert found == [
        'cat.toml:4:1: network.start_from = "/w/gone.safetensors": there is no such file; name a LoRA file'
    ]


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ('zero_terminal_snr = "on"', "the noise cannot be learned from pure noise"),
        ("scale_v_like_noise = true", "there is no v-prediction to scale"),
    ],
)
def test_a_loss_that_does_not_fit_what_the_base_predicts_is_refused(
    base: Path, images: Path, loss: str, reason: str
) -> None:
    name = loss.partition(" ")[0]
    (problem,) = refused(with_source(base, f'path = "{images}"\n[loss]\n{loss}'))
    assert f"loss.{name}" in problem
    assert reason in problem
    assert "scheduler/scheduler_config.json" in problem


def test_a_tracker_that_is_not_installed_is_refused(base: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = with_source(base, f'path = "{images}"\n[logging]\ntrackers = ["tensorboard", "wandb"]')
    monkeypatch.setattr(
        "engine.profile.preflight.importlib.util.find_spec", lambda name: None if name == "wandb" else object()
    )
    (problem,) = refused(loaded)
    assert "logging.trackers: wandb is not installed; pip install 'sdxl-tui[wandb]', or take it out" in problem
