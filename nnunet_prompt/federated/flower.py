"""Starts Flower's own programs with safe settings: a SuperLink at the server, a SuperNode at each site.

TLS always, SuperNodes known by their public keys, no telemetry, no question about updates, nothing installed at run
time. Flower needs Python 3.11 and older versions of some libraries, so it lives in an environment of its own
(`pip install "nnunet-prompt[federated]"` in a new one); this module imports nothing of it.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nnunet_prompt.common.errors import NNUNetPromptError, RefusedError
from nnunet_prompt.federated.flower_app import ERROR_FILE, write_app
from nnunet_prompt.federated.plan import Rounds
from nnunet_prompt.federated.site_config import NodeConfig

LOG = logging.getLogger(__name__)
SAFE: Final = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
START_S = 120.0  # within which a SuperLink has to answer
ASK_EVERY_S = 20.0  # how often Flower is asked whether the run is still alive


@dataclass(frozen=True, slots=True)
class ServerSetup:
    """A server to start.

    * certificate, key, authority: files in PEM form for TLS; the authority has signed the certificate
    * site_keys: folder with the public key of each site, NAME.pub
    * output: folder for the state, the shared part and Flower's files
    * timeout_s: how long a round waits for a site; patience_s: how long for enough sites
    """

    certificate: Path
    key: Path
    authority: Path
    site_keys: Path
    output: Path
    plan: Rounds
    host: str = "127.0.0.1"
    port: int = 8443
    min_sites: int = 2
    seed: int = 0
    timeout_s: float = 3600.0
    patience_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class ClientSetup:
    """A site to start: the server's address, its authority, the site's private key, and its data."""

    server: str
    authority: Path
    key: Path
    node: NodeConfig


def run_server(setup: ServerSetup) -> Path:
    """Starts a SuperLink, registers the sites, runs the federation, and returns the folder of its results.

    Started again with the same settings it resumes behind the last complete round. Raises `RefusedError` without Flower
    or without a key of each of `min_sites` sites, and `NNUNetPromptError` where a file is missing or the run fails.
    """
    keys = sorted(setup.site_keys.glob("*.pub"))
    _check_files(setup.certificate, setup.key, setup.authority)
    if len(keys) < setup.min_sites:
        raise RefusedError(
            f"{setup.site_keys}: expected the public keys of at least {setup.min_sites} sites (NAME.pub), found"
            f" {len(keys)}; make a pair at each site with `ssh-keygen -t ecdsa -b 384 -N '' -f NAME`"
        )
    flower = setup.output / "flower"
    app = write_app(flower / "app", _run_config(setup))
    address = f"{'127.0.0.1' if setup.host == '0.0.0.0' else setup.host}:{setup.port}"
    variables = _variables(flower / "home")
    (flower / "home" / "config.toml").write_text(_connection(address, setup.authority))
    (setup.output / ERROR_FILE).unlink(missing_ok=True)
    with _superlink(setup, variables) as link:
        _wait_for_port(address, link, flower / "superlink.log")
        for key in keys:
            _flwr(["supernode", "register", str(key), "federation", "--name", key.stem], variables)
            LOG.info("registered site %s", key.stem)
        started = _flwr(["run", str(app), "federation", "--format", "json"], variables)
        _wait_for_end(setup, link, variables, str(json.loads(started)["run-id"]))
    return setup.output


def run_client(setup: ClientSetup) -> int:
    """Runs a SuperNode until it is stopped, and returns its exit code.

    Raises `RefusedError` without Flower, and `NNUNetPromptError` where a file is missing.
    """
    _check_files(setup.authority, setup.key, setup.node.base)
    command = [
        str(program("flower-supernode")),
        *("--root-certificates", str(setup.authority.resolve()), "--superlink", setup.server),
        *("--auth-supernode-private-key", str(setup.key.resolve())),
        *("--node-config", setup.node.as_flower(), "--port", str(_free_port())),
    ]
    home = Path(os.environ.get("FLWR_HOME") or Path.home() / ".nnunet_prompt_flower")
    variables = _variables(home / setup.node.site)
    # one process loads the patches, so that two runs with one seed are alike
    variables = {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f", **variables}
    return subprocess.run(command, env=variables, check=False).returncode


def program(name: str) -> Path:
    """A program of Flower in this environment. Raises `RefusedError` where it is not installed."""
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise RefusedError(
            f"{path}: not found; Flower is not installed in this environment: make one of its own with Python 3.11 or"
            ' later and run `pip install "nnunet-prompt[federated]"` in it, because it needs older versions of some'
            " libraries"
        )
    return path


@contextmanager
def _superlink(
    setup: ServerSetup, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        str(program("flower-superlink")),
        *("--ssl-certfile", str(setup.certificate.resolve())),
        *("--ssl-keyfile", str(setup.key.resolve())),
        *("--ssl-ca-certfile", str(setup.authority.resolve())),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--host", setup.host, "--port", str(setup.port)),
    ]
    with (setup.output / "flower" / "superlink.log").open("ab") as log:
        link = subprocess.Popen(command, env=dict(variables), stdout=log, stderr=log)
        try:
            yield link
        finally:
            link.terminate()
            try:
                link.wait(20)
            except subprocess.TimeoutExpired:
                link.kill()
                link.wait()


def _wait_for_port(address: str, link: subprocess.Popen[bytes], log: Path) -> None:
    host, _, port = address.rpartition(":")
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if link.poll() is not None:
            break
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise NNUNetPromptError(f"{address}: the SuperLink does not answer; its reason is in {log}")


def _wait_for_end(
    setup: ServerSetup, link: subprocess.Popen[bytes], variables: Mapping[str, str], run: str
) -> None:
    """Returns when the federation is done. Raises `NNUNetPromptError` where it failed."""
    asked = time.monotonic()
    log = setup.output / "flower" / "superlink.log"
    while True:
        time.sleep(1)
        failed = setup.output / ERROR_FILE
        if failed.is_file():
            raise NNUNetPromptError(failed.read_text(encoding="utf-8").strip())
        if link.poll() is not None:
            raise NNUNetPromptError(f"the SuperLink ended; its reason is in {log}")
        if time.monotonic() - asked > ASK_EVERY_S:
            asked = time.monotonic()
            shown = _flwr(["list", "federation", "--run-id", run, "--format", "json"], variables)
            status = str(json.loads(shown)["runs"][0]["status"])
            if status.startswith("finished:completed"):
                return
            if status.startswith("finished"):
                raise NNUNetPromptError(f"the federation ended ({status}); its reason is in {log}")


def _flwr(words: Sequence[str], variables: Mapping[str, str]) -> str:
    command = [str(program("flwr")), *words]
    done = subprocess.run(command, env=dict(variables), capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split())[-300:]
        raise NNUNetPromptError(f"`flwr {' '.join(words[:2])}` failed: {reason}")
    return done.stdout[max(done.stdout.find("{"), 0) :]


def _variables(home: Path) -> dict[str, str]:
    """The environment of Flower's programs: theirs in front of PATH, nothing sent home, files in a folder of ours."""
    home.mkdir(parents=True, exist_ok=True)
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, **SAFE, "FLWR_HOME": str(home.resolve()), "PATH": places}


def _connection(address: str, authority: Path) -> str:
    return (
        '[superlink]\ndefault = "federation"\n\n[superlink.federation]\n'
        f'address = "{address}"\nroot-certificates = {json.dumps(str(authority.resolve()))}\n'
    )


def _run_config(setup: ServerSetup) -> dict[str, Any]:
    plan = setup.plan
    return {
        "output": str(setup.output.resolve()),
        "rounds": plan.rounds,
        "iterations": plan.iterations,
        "private-iterations": plan.private_iterations,
        "learning-rate": plan.learning_rate,
        "min-sites": setup.min_sites,
        "seed": setup.seed,
        "timeout": setup.timeout_s,
        "patience": setup.patience_s,
    }


def _check_files(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise NNUNetPromptError(f"{path}: no such file")


def _free_port() -> int:
    """A port of this machine that is free now, for the SuperNode's own processes."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
