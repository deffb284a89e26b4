"""A base named by its hub id is fetched once, from a hub that is a small web server here, and then needs no connection."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import pytest

from engine.model.base import BaseFolder
from engine.model.base_file import BaseFile
from engine.model.errors import ModelError
from engine.model.hub import base_files, vae_files
from engine.model.hub_id import HubId, cached_snapshot, hub_cache, parse_hub_id
from engine.model.open_base import open_base
from tests.engine.model.original_file import write_original

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """As much of the hub as fetching needs: a model's list of files, and the files."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.models: dict[str, dict[str, Path]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.asked.append(path)
        if path.startswith("api/models/"):
            name = path.removeprefix("api/models/").partition("/revision/")[0]
            files = self.server.models.get(name)
            if files is None:
                self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404, body=body)
                return
            siblings = [{"rfilename": file, "size": at.stat().st_size} for file, at in files.items()]
            info = {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
            self._send(json.dumps(info).encode(), {}, body=body)
            return
        name, _, rest = path.partition("/resolve/")
        file = rest.partition("/")[2]
        data = self.server.models[name][file].read_bytes()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        self._send(data, headers, body=body)

    def _send(self, data: bytes, headers: dict[str, str], *, status: int = 200, body: bool) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, and an empty cache."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def files_of(base: BaseFolder) -> dict[str, Path]:
    """The bundled base as a repository, with much beside it that no training needs."""
    files = {str(file.relative_to(base.path)): file for file in base.path.rglob("*") if file.is_file()}
    weights = base.path / "unet/diffusion_pytorch_model.safetensors"
    unwanted = (
        "unet/diffusion_pytorch_model.bin",
        "unet/model.onnx",
        "sdxl.safetensors",
        "README.md",
        "vae_1_0/config.json",
    )
    return files | dict.fromkeys(unwanted, weights)


def test_a_base_is_fetched_once_and_then_needs_no_hub(
    base: BaseFolder, hub: Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models["owner/model"] = files_of(base)
    with caplog.at_level(logging.INFO, logger="engine"):
        opened = open_base("owner/model")
    assert opened.digest == base.digest
    assert isinstance(opened, BaseFolder)
    assert opened.path == hub_cache() / "models--owner--model" / "snapshots" / COMMIT
    fetched = {str(file.relative_to(opened.path)) for file in opened.path.rglob("*") if file.is_file()}
    assert fetched == {str(file.relative_to(base.path)) for file in base.path.rglob("*") if file.is_file()}
    assert "fetching unet/diffusion_pytorch_model.safetensors of owner/model" in caplog.text

    hub.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert open_base("owner/model").digest == base.digest
    assert hub.asked == []


def test_what_a_broken_connection_left_out_is_fetched_later(base: BaseFolder, hub: Hub) -> None:
    hub.models["owner/model"] = files_of(base)
    folder = open_base("owner/model")
    assert isinstance(folder, BaseFolder)
    (folder.path / "unet/diffusion_pytorch_model.safetensors").unlink()
    assert open_base("owner/model").digest == base.digest


def test_a_revision_is_asked_for_by_name(base: BaseFolder, hub: Hub) -> None:
    hub.models["owner/model"] = files_of(base)
    open_base("owner/model@v1.0")
    assert "api/models/owner/model/revision/v1.0" in hub.asked
    assert cached_snapshot(HubId("owner/model", "v1.0")) == cached_snapshot(HubId("owner/model", COMMIT))
    assert cached_snapshot(HubId("owner/model")) is None


def test_a_repository_of_one_file_is_that_file(base: BaseFolder, hub: Hub, tmp_path: Path) -> None:
    file = write_original(base, tmp_path / "model.safetensors")
    hub.models["owner/file"] = {"illustrious.safetensors": file, "README.md": base.path / "model_index.json"}
    opened = open_base("owner/file")
    assert isinstance(opened, BaseFile)
    assert opened.digest == BaseFile(file).digest
    hub.asked.clear()
    assert open_base("owner/file").digest == opened.digest
    assert hub.asked == []


def test_a_vae_is_fetched_too(base: BaseFolder, hub: Hub) -> None:
    hub.models["owner/vae"] = {file.name: file for file in (base.path / "vae").iterdir()}
    hub.models["owner/model"] = files_of(base)
    assert open_base(str(base.path), "owner/vae").vae_key == open_base(str(base.path), str(base.path)).vae_key
    assert open_base(str(base.path), "owner/model").vae_key == open_base(str(base.path), "owner/vae").vae_key
    assert not any("unet" in path for path in hub.asked)


def test_a_model_that_is_not_there_is_named(hub: Hub) -> None:
    with pytest.raises(ModelError, match="no such file or folder here, and no such model on the hub") as caught:
        open_base("owner/nothing")
    assert caught.value.where == "Hugging Face model owner/nothing"


def test_without_a_connection_it_says_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ModelError, match=r"is not on this machine and cannot be fetched: .*refused") as caught:
        open_base("owner/model")
    assert "hf download owner/model" in str(caught.value.hint)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids to fetch it"):
        open_base("owner/model")


def test_half_precision_is_taken_where_there_are_both() -> None:
    files = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "sd_xl_base_1.0.safetensors",
        *(f"tokenizer/{name}" for name in ("merges.txt", "vocab.json")),
        *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder", "text_encoder_2", "vae_1_0")),
        *(f"unet/diffusion_pytorch_model{v}.safetensors" for v in ("", ".fp16", ".non_ema")),
        "unet/diffusion_flax_model.msgpack",
        "vae/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.bin",
        *(f"text_encoder/model{v}-0000{n}-of-00002.safetensors" for n in (1, 2) for v in ("", ".fp16")),
        *(f"text_encoder/model.safetensors.index{v}.json" for v in ("", ".fp16")),
        *(f"text_encoder_2/model-0000{n}-of-00002.safetensors" for n in (1, 2)),
        "text_encoder_2/model.safetensors.index.json",
        "text_encoder_2/openvino_model.xml",
    ]
    assert set(files) - set(base_files(files)) == {
        "sd_xl_base_1.0.safetensors",
        "vae_1_0/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_flax_model.msgpack",
        "vae/diffusion_pytorch_model.bin",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model-00002-of-00002.safetensors",
        "text_encoder/model.safetensors.index.json",
        "text_encoder_2/openvino_model.xml",
    }
    assert vae_files(files) == ["vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
    with pytest.raises(ModelError, match=r"several \.safetensors files \(a\.safetensors, b\.safetensors\)"):
        base_files(["a.safetensors", "b.safetensors"])


@pytest.mark.parametrize(
    ("text", "hub_id"),
    [
        ("stabilityai/stable-diffusion-xl-base-1.0", HubId("stabilityai/stable-diffusion-xl-base-1.0")),
        ("owner/name@refs/pr/3", HubId("owner/name", "refs/pr/3")),
        ("owner/name@", None),
        ("models/sdxl.safetensors", None),
        ("/models/sdxl", None),
        ("./models", None),
        ("~/models", None),
        ("a/b/c", None),
        ("models", None),
        ("my models/sdxl", None),
        ("bundled:demo-base", None),
    ],
)
def test_hub_ids_are_told_from_paths(text: str, hub_id: HubId | None) -> None:
    assert parse_hub_id(text) == hub_id


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub_cache() == Path("~/.cache/huggingface/hub").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert hub_cache() == Path("/caches/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "/hf")
    assert hub_cache() == Path("/hf/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/hub")
    assert hub_cache() == Path("/hub")
