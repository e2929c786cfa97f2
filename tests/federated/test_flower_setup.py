"""How Flower's programs are started: with TLS and keys, without telemetry; refused in one line where they cannot be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError, RefusedError
from nnunet_prompt.federated import flower
from nnunet_prompt.federated.flower import ClientSetup, ServerSetup, run_client, run_server
from nnunet_prompt.federated.flower_app import write_app
from nnunet_prompt.federated.plan import Rounds
from nnunet_prompt.federated.site_config import NodeConfig
from tests.helpers.each import Fakes, each

pytestmark = pytest.mark.slow

RECORDING = """#!{python}
import json, os, pathlib, sys
seen = {{k: v for k, v in os.environ.items() if k.startswith(("FLWR", "nnUNet"))}}
pathlib.Path({record!r}).write_text(json.dumps([sys.argv[1:], seen]))
raise SystemExit(3)
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of this environment's programs; what is put there is started."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(flower.sys, "executable", str(folder / "python"))
    return folder


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {
        name: tmp_path / name for name in ("server.pem", "server.key", "ca.crt", "site", "base.pth")
    }
    for path in found.values():
        path.touch()
    (tmp_path / "keys").mkdir()
    return found


def server(files: dict[str, Path], root: Path, **other: Any) -> ServerSetup:
    paths = (files["server.pem"], files["server.key"], files["ca.crt"])
    return ServerSetup(*paths, root / "keys", root / "out", Rounds(2, 2), **other)


def client(files: dict[str, Path]) -> ClientSetup:
    node = NodeConfig("a", "501", files["base.pth"], fold=2)
    return ClientSetup("host:8443", files["ca.crt"], files["site"], node)


def record(programs: Path, name: str) -> Path:
    path = programs / name
    seen = programs / f"{name}.json"
    path.write_text(RECORDING.format(python=sys.base_prefix + "/bin/python3", record=str(seen)))
    path.chmod(0o755)
    return seen


def test_a_site_is_started_with_tls_its_key_and_no_telemetry(
    files: dict[str, Path], programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    seen = record(programs, "flower-supernode")
    assert run_client(client(files)) == 3
    words, variables = json.loads(seen.read_text())
    assert words[words.index("--root-certificates") + 1] == str(files["ca.crt"])
    assert words[words.index("--auth-supernode-private-key") + 1] == str(files["site"])
    assert "--insecure" not in words and "--allow-runtime-dependency-installation" not in words
    assert 'site="a"' in words[words.index("--node-config") + 1]
    assert variables["FLWR_TELEMETRY_ENABLED"] == "0"
    assert variables["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert variables["nnUNet_n_proc_DA"] == "0"


def test_a_server_is_started_with_tls_and_known_keys_alone(
    files: dict[str, Path], programs: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / "keys" / f"{name}.pub").touch()
    seen = record(programs, "flower-superlink")
    with pytest.raises(NNUNetPromptError, match="does not answer; its reason is in"):
        run_server(server(files, tmp_path, port=1))
    words, variables = json.loads(seen.read_text())
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(words)
    assert words[words.index("--host") + 1] == "127.0.0.1" and "--insecure" not in words
    assert variables["FLWR_TELEMETRY_ENABLED"] == "0"


def test_without_flower_the_way_to_it_is_named(
    files: dict[str, Path], programs: Path, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match=r"nnunet-prompt\[federated\]"):
        run_client(client(files))
    with pytest.raises(RefusedError, match="at least 2 sites"):
        run_server(server(files, tmp_path))


@each("missing", ["server.pem", "server.key", "ca.crt"])
def test_a_missing_file_is_named(missing: str, files: dict[str, Path], tmp_path: Path) -> None:
    setup = server(files, tmp_path)
    files[missing].unlink()
    with pytest.raises(NNUNetPromptError, match=f"{missing}: no such file"):
        run_server(setup)
    files[missing].touch()


def test_the_app_names_this_package_and_has_no_dependencies(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", {"rounds": 3, "output": 'a "b"'})
    text = (folder / "pyproject.toml").read_text()
    assert "dependencies = []" in text and "rounds = 3" in text and r'output = "a \"b\""' in text
    line = (folder / "nnunet_prompt_adapters" / "client.py").read_text()
    assert line.startswith("from nnunet_prompt.federated.client_app import app\n")


def test_a_site_knows_itself() -> None:
    node = NodeConfig("a", "501", Path("/base.pth"), fold=2, trainer="T")
    assert node.as_flower().startswith('site="a" dataset="501" base="/base.pth" ')
    told = {"site": "a", "dataset": "501", "base": "/base.pth", "fold": 2, "trainer": "T", "x": 1}
    assert NodeConfig.from_flower(told) == node


@each("key", ["site", "dataset", "base"])
def test_a_site_without_name_data_or_base_is_refused(key: str) -> None:
    told = {"site": "a", "dataset": "501", "base": "/base.pth"} | {key: ""}
    with pytest.raises(RefusedError, match=f"expected {key}"):
        NodeConfig.from_flower(told)


def test_what_is_typed_reaches_the_programs(
    fake: Fakes, files: dict[str, Path], tmp_path: Path
) -> None:
    started = fake("nnunet_prompt.federated.flower.run_server", tmp_path / "out")
    joined = fake("nnunet_prompt.federated.flower.run_client", 0)
    checked = fake("nnunet_prompt.federated.site.check_site")
    os.environ |= {"nnUNet_preprocessed": "p", "nnUNet_results": "r"}
    tls = f"--certificate {files['server.pem']} --key {files['server.key']} --ca {files['ca.crt']}"
    plan = "--rounds 2 --iterations 2"
    line = f"federate server {tls} --sites {tmp_path / 'keys'} -o {tmp_path / 'out'} {plan}"
    assert main(line.split()) == 0
    assert started.call_args.args == (server(files, tmp_path),)
    tls = f"--server host:8443 --ca {files['ca.crt']} --key {files['site']}"
    line = f"federate client {tls} --name a -d 501 --base {files['base.pth']} -f 2"
    assert main(line.split()) == 0
    assert joined.call_args.args == (client(files),)
    assert checked.call_args.args == (client(files).node,)
    joined.return_value = 3
    assert main(line.split()) == 1
