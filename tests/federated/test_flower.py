"""A real federation on this machine: a SuperLink, SuperNodes over TLS that are known by their keys, and one killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.networks.adapter_file import read_adapter
from nnunet_prompt.weights.merge import merge_adapter
from tests.helpers.flower import certificates, flower_python, key_pair
from tests.helpers.models import PLANS
from tests.helpers.tiny_data import TinyData, trained

pytestmark = pytest.mark.slow

TRAINER = "nnUNetTrainerPromptLoRA"
LONG = 420.0


class Federation:
    """The programs of a federation, each with a log of its own, and all of them ended in the end."""

    def __init__(self, root: Path, tiny: TinyData, base: Path) -> None:
        self.root, self.tiny, self.base = root, tiny, base
        self.python = flower_python()
        self.started: list[subprocess.Popen[bytes]] = []
        (root / "keys").mkdir()
        certificates(root)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        results = self.root / name / "results"
        results.mkdir(parents=True, exist_ok=True)
        variables = {**os.environ, **self.tiny.variables, "nnUNet_results": str(results)}
        variables |= {"OMP_NUM_THREADS": "1", "FLWR_HOME": str(self.root / name / "flower")}
        with self.log(name).open("ab") as log:
            command = [str(self.python), "-m", "nnunet_prompt", "federate", *words]
            one = subprocess.Popen(
                command,
                env=variables,
                stdout=log,
                stderr=log,
                cwd=self.root,
                start_new_session=True,
            )
        self.started.append(one)
        return one

    def server(self, *words: str) -> subprocess.Popen[bytes]:
        tls = "--certificate server.pem --key server.key --ca ca.crt --sites keys".split()
        return self.start("server", "server", *tls, "--port", str(self.port), "-o", "out", *words)

    def site(self, name: str, key: Path) -> subprocess.Popen[bytes]:
        return self.start(
            name,
            *("client", "--server", f"127.0.0.1:{self.port}", "--ca", "ca.crt"),
            *("--key", str(key), "--name", name, "-d", "501", "--base", str(self.base)),
            *("-p", PLANS, "-tr", TRAINER),
        )

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def state(self) -> dict[str, object]:
        path = self.root / "out" / "federation.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {"round": 0}

    def logs(self) -> str:
        paths = [*self.root.glob("*.log"), *self.root.rglob("superlink.log")]
        return "\n".join(f"== {p}\n{p.read_text(errors='replace')[-3000:]}" for p in paths)

    def wait(self, until: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LONG
        while not until():
            assert time.monotonic() < end, f"{what} did not happen in time\n{self.logs()}"
            time.sleep(0.5)


def end(one: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Ends a program and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(one.pid, number)
    one.wait(60)


@pytest.fixture
def federation(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    if not (shutil.which("openssl") and shutil.which("ssh-keygen")):
        pytest.skip("openssl and ssh-keygen make the keys")
    tiny, model = trained(tmp_path_factory, "3d_fullres")
    found = Federation(tmp_path, tiny, model / "fold_0" / "checkpoint_final.pth")
    yield found
    for one in found.started:
        end(one)


def test_a_federation_survives_a_kill_and_ends_with_adapters(federation: Federation) -> None:
    private = federation.root / "private"
    private.mkdir()
    keys = {name: key_pair(private, name) for name in ("a", "b", "unknown")}
    for name in ("a", "b"):
        shutil.copy(keys[name].with_suffix(".pub"), federation.root / "keys")
    plan = "--rounds 3 --iterations 2 --private-iterations 2 --min-sites 1 --timeout 60".split()
    server = federation.server(*plan)
    federation.wait(lambda: "registered site b" in federation.log("server").read_text(), "a start")
    sites = {name: federation.site(name, key) for name, key in keys.items()}
    federation.wait(lambda: _both_in_a_round(federation), "a round of both sites")
    end(sites["b"])
    federation.wait(lambda: server.poll() is not None, "the end")
    assert server.returncode == 0, federation.logs()

    state = json.loads((federation.root / "out" / "federation.json").read_text())
    assert state["done"] and state["round"] == 3
    took_part = [set(one["dice"]) for one in state["history"]]
    assert took_part[-1] == {"a"} and {"a", "b"} in took_part
    assert not any("unknown" in one for one in took_part)
    assert sites["unknown"].poll() == 1  # it was refused, and ended by itself
    assert "Exit Code: 305" in federation.log("unknown").read_text()
    _check_adapters(federation)
    _check_quiet(federation)


def _both_in_a_round(federation: Federation) -> bool:
    history = federation.state().get("history", [])
    assert isinstance(history, list)
    return any(set(one["dice"]) == {"a", "b"} for one in history)


def _check_adapters(federation: Federation) -> None:
    """The site that lived has an adapter of its base, with shared and private part; the server has the shared one."""
    (adapter,) = (federation.root / "a" / "results").rglob("adapter.pth")
    found = read_adapter(adapter)
    assert found.tuning.method == "lora" and found.tuning.rank == 8
    merge_adapter(federation.base, adapter, federation.root / "merged.pth")
    with np.load(federation.root / "out" / "shared.npz", allow_pickle=False) as shared:
        assert any(shared[name].any() for name in shared.files if name.startswith("up "))


def _check_quiet(federation: Federation) -> None:
    """Nothing was installed and nothing was reported home."""
    assert not [p for p in federation.root.rglob("pyvenv.cfg")]
    text = federation.logs()
    assert "uv sync" not in text and "telemetry" not in text.lower()
