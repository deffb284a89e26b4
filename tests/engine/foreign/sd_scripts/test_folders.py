"""Folders named 10_name, images that are counted, and epochs that become steps."""

from __future__ import annotations

from pathlib import Path

from engine.foreign.sd_scripts.option import Fate
from tests.engine.foreign.sd_scripts.importing_files import import_options, import_text, line_of, make_images


def test_folders_say_their_repeats_and_epochs_become_steps(tmp_path: Path) -> None:
    make_images(tmp_path / "img" / "10_sks cat", 6)
    make_images(tmp_path / "img" / "2_dog", 5)
    make_images(tmp_path / "img" / "other", 3)
    profile, imported = import_options(
        tmp_path, train_data_dir=str(tmp_path / "img"), max_train_epochs=4, train_batch_size=2, caption_extension=".txt",
        save_every_n_epochs=1, sample_prompts="a cat", sample_every_n_epochs=2, gradient_accumulation_steps=2,
    )  # fmt: skip
    cat, dog = profile.dataset.sources
    assert (cat.path, cat.repeats, cat.trigger) == (str(tmp_path / "img" / "10_sks cat"), 10, "")
    assert (dog.repeats, dog.recursive) == (2, False)
    # 70 images, 35 batches, 18 optimizer steps an epoch
    assert (profile.training.steps, profile.checkpoints.every_steps, profile.samples.every_steps) == (72, 18, 36)
    assert "# 4 epochs of 18 steps" in imported.text
    assert not imported.missing


def test_images_without_captions_get_the_folders_words(tmp_path: Path) -> None:
    make_images(tmp_path / "img" / "1_sks cat", 3, captions=0)
    make_images(tmp_path / "half" / "1_dog", 4, captions=2)
    bare, _ = import_options(tmp_path, train_data_dir=str(tmp_path / "img"), caption_extension=".txt")
    assert bare.dataset.sources[0].trigger == "sks cat"
    half, imported = import_options(tmp_path, train_data_dir=str(tmp_path / "half"), caption_extension=".txt")
    assert half.dataset.sources[0].trigger == ""
    assert any("2 of 4 images have no caption" in line.note for line in imported.of(Fate.UNSUPPORTED))


def test_regularisation_images_are_repeated_as_there(tmp_path: Path) -> None:
    make_images(tmp_path / "img" / "10_cat", 6)
    make_images(tmp_path / "reg" / "1_cats", 4)
    profile, imported = import_options(
        tmp_path,
        train_data_dir=str(tmp_path / "img"),
        reg_data_dir=str(tmp_path / "reg"),
        max_train_epochs=1,
        caption_extension=".txt",
    )
    cats = profile.dataset.sources[1]
    assert (cats.regularisation, cats.repeats) == (True, 15)
    assert profile.training.steps == 120
    assert any("15 times" in remark for remark in imported.remarks)


def test_a_relative_folder_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    make_images(tmp_path / "data" / "3_x", 2)
    profile, _ = import_text(tmp_path, 'train_data_dir = "./data"\nresolution = 512\nmax_train_epochs = 2\n')
    assert profile.dataset.sources[0].path == str(tmp_path / "data" / "3_x")
    assert profile.training.steps == 12


def test_what_cannot_be_counted_is_said_to_be_missing(tmp_path: Path) -> None:
    profile, imported = import_options(
        tmp_path, train_data_dir="/no/such/place", max_train_epochs=10, save_every_n_epochs=1
    )
    assert profile.training.steps == 1600
    assert line_of(imported, "train_data_dir").is_warning
    assert any("images × repeats" in sentence for sentence in imported.missing)
    assert line_of(imported, "save_every_n_epochs").is_warning


def test_subsets_that_are_here_are_counted(tmp_path: Path) -> None:
    images = make_images(tmp_path / "cats", 9)
    text = f"""
max_train_epochs = 5
[[datasets]]
resolution = 512
batch_size = 4
[[datasets.subsets]]
image_dir = "{images}"
num_repeats = 2
caption_extension = ".txt"
"""
    profile, _ = import_text(tmp_path, text)
    assert profile.training.steps == 5 * 5
