"""Models by address, from a stand-in of a hub on this machine: pinned, checked, resumed, and data only."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from nnunet_prompt.cli import main as cli
from nnunet_prompt.cli import options
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.model_folder import load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.weights.hub import SCHEME, HubAddress, fetch_hub, hub_address, local_model
from nnunet_prompt.weights.publish import make_publication
from tests.helpers.each import each
from tests.helpers.schemas import check_form
from tests.weights.test_publish import MINE, REPO, ours

COMMIT = "a1" * 20
HERE = HubAddress(REPO, COMMIT)


@dataclass
class Hub:
    """The files of its only repository, and the paths that it was asked for. `lies` has other content of a file."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lies: dict[str, bytes] = field(default_factory=dict)

    def listing(self) -> bytes:
        entries: list[dict[str, object]] = []
        for name, content in self.files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry: dict[str, object] = {"rfilename": name, "blobId": blob}
            if name.endswith((".safetensors", ".pth")):
                entry["lfs"] = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 130,
                }
            entries.append(entry)
        return json.dumps({"id": REPO, "sha": COMMIT, "siblings": entries}).encode()

    def tree(self) -> bytes:
        files = [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
            for name, content in self.files.items()
        ]
        return json.dumps(files).encode()

    def answer(self, path: str) -> bytes | None:
        if path in [f"/api/models/{REPO}/revision/{r}" for r in (COMMIT, "main", "v1.0")]:
            return self.listing()
        if path.startswith(f"/api/models/{REPO}/tree/{COMMIT}"):
            return self.tree()
        path = path.replace("/resolve/main/", f"/resolve/{COMMIT}/")
        name = path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")
        return self.lies.get(name, self.files.get(name))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            state.asked.append(path)
            data = state.answer(path)
            if data is None:
                self.send_error(404, "Not Found")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_address[1]}")
    yield state
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Hub:
    made = make_publication(ours(tmp_path / "ours"), REPO, tmp_path / "out", options=MINE)
    for path in made.folder.rglob("*"):
        if path.is_file():
            hub.files[path.relative_to(made.folder).as_posix()] = path.read_bytes()
    return hub


def test_a_published_model_is_loaded_by_its_address(published: Hub, tmp_path: Path) -> None:
    found = local_model(Path(f"hf://{REPO}@v1.0"), tmp_path / "cache")
    assert found == tmp_path / "cache" / "lab--heart" / COMMIT
    assert len(load_model(found, PredictOptions(device="cpu")).weights) == 1
    hashes = json.loads((found / "sha256.json").read_text())
    check_form("sha256", found / "sha256.json")
    content = published.files["fold_0/checkpoint_final.safetensors"]
    assert hashes["fold_0/checkpoint_final.safetensors"] == hashlib.sha256(content).hexdigest()


def test_no_pickle_and_nothing_outside_is_taken(hub: Hub, tmp_path: Path) -> None:
    wanted = ("plans.json", "LICENSE", "fold_all/checkpoint_final.safetensors")
    for name in (
        *wanted,
        *("x.pth", "fold_0/x.pkl", "run.py", "../a.json", "/b.json", "c:\\d.json", "other/e.json"),
    ):
        hub.files[name] = name.encode()
    found = fetch_hub(HERE, tmp_path)
    files = sorted(p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file())
    assert files == sorted([*wanted, "sha256.json"])
    assert [p.name for p in tmp_path.iterdir()] == ["lab--heart"]


def test_a_known_commit_needs_no_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files["plans.json"] = b"{}"
    found = fetch_hub(HERE, tmp_path)
    monkeypatch.setattr(requests, "get", lambda *_, **__: pytest.fail("asked the network"))
    assert fetch_hub(HERE, tmp_path) == found


def test_a_changed_copy_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.files["plans.json"] = b"{}"
    found = fetch_hub(HERE, tmp_path)
    (found / "plans.json").write_text("[]")
    with pytest.raises(ModelError, match=r"plans\.json: is not what was downloaded"):
        fetch_hub(HERE, tmp_path)


@each("name", ["plans.json", "fold_0/checkpoint_final.safetensors"])
def test_what_the_hub_does_not_state_is_refused(name: str, hub: Hub, tmp_path: Path) -> None:
    hub.files = {"plans.json": b"{}", "fold_0/checkpoint_final.safetensors": b"weights"}
    hub.lies = {name: b"other"}
    with pytest.raises(ModelError):
        fetch_hub(HERE, tmp_path)
    assert not (tmp_path / "lab--heart" / COMMIT).exists()
    hub.lies, hub.asked = {}, []
    assert (fetch_hub(HERE, tmp_path) / name).read_bytes() == hub.files[name]


def test_files_that_are_there_are_not_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"plans.json": b"{}", "dataset.json": b"[]"}
    partial = tmp_path / "lab--heart" / f"{COMMIT}.part"
    partial.mkdir(parents=True)
    (partial / "plans.json").write_bytes(b"{}")
    fetch_hub(HERE, tmp_path)
    assert [p for p in hub.asked if "resolve" in p] == [f"/{REPO}/resolve/{COMMIT}/dataset.json"]


@each(
    "address, message",
    [
        (HubAddress("lab/none"), "refused by its hub"),
        (HubAddress(REPO, "v2"), "refused by its hub"),
        (HERE, r"it has no plans\.json"),
    ],
)
def test_no_model(address: HubAddress, message: str, hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        fetch_hub(address, tmp_path)
    assert "\n" not in str(caught.value)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ModelError, match="is there a network"):
        fetch_hub(HERE, tmp_path)


def test_addresses() -> None:
    assert hub_address("hf://a/b") == HubAddress("a/b", "main")
    assert hub_address(Path("hf://a/b-c.d@v1.0")) == HubAddress("a/b-c.d", "v1.0")
    assert local_model(Path("a/folder")) == Path("a/folder")
    for text in ("hf://a", "hf://a/b/c", "hf://../b", "hf://a/b@", "hf://a/b@../x", "hf:///a/b"):
        with pytest.raises(ModelError, match="expected hf://owner/name@revision"):
            hub_address(text)


def test_the_command(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.files = {"plans.json": b"{}", "LICENSE": b"CC BY 4.0\nmore\n"}
    assert cli.main(["weights", "fetch", f"hf://{REPO}@main", "-o", str(tmp_path)]) == 0
    found = tmp_path / "lab--heart" / COMMIT
    assert f"wrote {found}; licence: CC BY 4.0\n" in capsys.readouterr().out


BY_ADDRESS = {
    "predict -i I -o O -m": "nnunet_prompt.inference.predict_folder.predict_folder",
    "interact L -i I -o O -m": "nnunet_prompt.evaluation.interact.run.interact_folder",
    "submit -i I -o O -m": "nnunet_prompt.challenge.submit.submit",
    "learn I L -o N -m": "nnunet_prompt.learn.run.learn",
    "view": "nnunet_prompt.view.serve.serve",
    "weights inspect": "nnunet_prompt.weights.inspect.print_checkpoint",
    "weights adapt -d 4 -o s.pth": "nnunet_prompt.weights.adapt.adapt_checkpoint",
    "weights plan -d 4": "nnunet_prompt.weights.source_plan.write_source_plans",
    "weights export -o O --format onnx": "nnunet_prompt.weights.export.export_model",
    "weights publish lab/other": "nnunet_prompt.weights.publish.make_publication",
}


@each("typed, function", BY_ADDRESS.items(), ids=list(BY_ADDRESS))
def test_every_verb_that_takes_a_model_takes_an_address(
    typed: str,
    function: str,
    hub: Hub,
    fake: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.files = {"plans.json": b"{}"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    call = fake(function)
    call.side_effect = ModelError("enough")
    words = typed.split()
    address = f"hf://{REPO}@v1.0"
    words = [*words[:-1], address, words[-1]] if "publish" in words else [*words, address]
    assert cli.main(words) == 1
    found = tmp_path / "nnunet-prompt" / "lab--heart" / COMMIT
    assert found in (*call.call_args.args, *call.call_args.kwargs.values())
    assert (found / "plans.json").is_file()


def test_the_model_of_a_report_is_an_address(
    hub: Hub, fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files = {"plans.json": b"{}"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    call = fake("nnunet_prompt.report.masks.write_report")
    call.side_effect = ModelError("enough")
    assert cli.main(["report", "L", "M", "-o", "r.html", "-m", f"hf://{REPO}@v1.0"]) == 1
    found = tmp_path / "nnunet-prompt" / "lab--heart" / COMMIT
    assert call.call_args.kwargs["options"].model == found


def test_a_wrong_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weights", "inspect", "hf://heart"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("expected hf://owner/name@revision")
    assert options.HUB == SCHEME


@pytest.mark.slow
def test_a_published_model_is_inspected_and_exported_by_its_address(
    published: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    address = f"hf://{REPO}@v1.0"
    assert cli.main(["weights", "inspect", address, "--no-tensors"]) == 0
    assert "nnunet_prompt" in capsys.readouterr().out
    written = ["-o", str(tmp_path / "plain"), "--format", "safetensors"]
    assert cli.main(["weights", "export", address, *written]) == 0
    assert (tmp_path / "plain" / "fold_0" / "checkpoint_final.safetensors").is_file()


SERVES = """
import torch
from nnInteractive import model_management as models
from nnInteractive.inference.inference_session import nnInteractiveInferenceSession

name = models.get_default_model_id()
folder = models.ensure_model_available(name)
session = nnInteractiveInferenceSession(device=torch.device("cpu"), verbose=False)
session.initialize_from_trained_model_folder(str(folder), 0, "checkpoint_final.pth")
print(name, tuple(session.configuration_manager.patch_size))
"""


@pytest.mark.slow
def test_nninteractive_lists_downloads_and_loads_it(published: Hub, tmp_path: Path) -> None:
    """In a program of its own: its client reads the address of the hub once."""
    pytest.importorskip("nnInteractive")
    environment = {
        **os.environ,
        "NNINTERACTIVE_REPO_ID": REPO,
        "NNINTERACTIVE_MODEL_DIR": str(tmp_path / "viewer"),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SERVES],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "nnInteractive_heart (8, 12, 16)"
    taken = {p for p in published.asked if "nnInteractive_heart/" in p}
    assert any(p.endswith("fold_0/checkpoint_final.pth") for p in taken)
