"""Downloads from a server on this machine: progress is kept, hashes are checked, errors are one line."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.weights.fetch import download, fetch
from nnunet_prompt.weights.source_table import KnownSource, known_source
from tests.helpers.schemas import check_form

CONTENT = bytes(range(256)) * 40


@dataclass
class Server:
    """What it serves, and the ranges it was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    ranges: bool = True
    breaks_after: int | None = None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            data = state.files.get(self.path)
            if data is None:
                self.send_error(404, "Not Found")
                return
            start = 0
            if wanted and state.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(data):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = len(data) if state.breaks_after is None else start + state.breaks_after
            self.wfile.write(data[start:end])

        def log_message(self, format: str, *args: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{running.server_address[1]}"
    yield state
    running.shutdown()
    running.server_close()
    thread.join()


def source_of(server: Server, *names: str) -> KnownSource:
    return KnownSource(
        name="small",
        family="nnunet",
        page="https://example.org/small",
        licence="CC BY 4.0",
        size=1,
        architecture="none",
        files=tuple((n, f"{server.address}/{n}") for n in names),
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_download_ends_under_its_name(server: Server, tmp_path: Path) -> None:
    server.files["/a.pth"] = CONTENT
    download(f"{server.address}/a.pth", tmp_path / "a.pth", expected=sha256(CONTENT))
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]
    assert server.asked == [("/a.pth", None)]


@pytest.mark.parametrize("done", [1, 5000, len(CONTENT)])
def test_it_goes_on_where_it_stopped(server: Server, tmp_path: Path, done: int) -> None:
    server.files["/a.pth"] = CONTENT
    (tmp_path / "a.pth.part").write_bytes(CONTENT[:done])
    download(f"{server.address}/a.pth", tmp_path / "a.pth", expected=sha256(CONTENT))
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    assert server.asked == [("/a.pth", f"bytes={done}-")]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.files["/a.pth"], server.ranges = CONTENT, False
    (tmp_path / "a.pth.part").write_bytes(b"something else, and longer" * 1000)
    download(f"{server.address}/a.pth", tmp_path / "a.pth", expected=sha256(CONTENT))
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_connection_that_breaks_keeps_the_part(server: Server, tmp_path: Path) -> None:
    server.files["/a.pth"], server.breaks_after = CONTENT, 3000
    with pytest.raises(ModelError, match="to resume") as caught:
        download(f"{server.address}/a.pth", tmp_path / "a.pth")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.pth").exists()
    kept = (tmp_path / "a.pth.part").read_bytes()
    assert CONTENT.startswith(kept)
    server.breaks_after = None
    download(f"{server.address}/a.pth", tmp_path / "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_wrong_hash_is_thrown_away(server: Server, tmp_path: Path) -> None:
    server.files["/a.pth"] = CONTENT
    with pytest.raises(ModelError, match=f"sha256 is {sha256(CONTENT)}, expected {'0' * 64}"):
        download(f"{server.address}/a.pth", tmp_path / "a.pth", expected="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ModelError, match="is there a network") as caught:
        download("http://127.0.0.1:9/a.pth", tmp_path / "a.pth")
    assert "\n" not in str(caught.value) and str(tmp_path / "a.pth") in str(caught.value)


def test_a_missing_file_is_one_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="404") as caught:
        download(f"{server.address}/a.pth", tmp_path / "a.pth")
    assert "\n" not in str(caught.value)


def test_a_source_becomes_a_model_folder(server: Server, tmp_path: Path) -> None:
    server.files |= {"/plans.json": b"{}", "/fold_0/checkpoint_final.pth": CONTENT}
    source = source_of(server, "plans.json", "fold_0/checkpoint_final.pth")
    folder = fetch(source, tmp_path)
    assert folder == tmp_path / "small"
    assert (folder / "fold_0" / "checkpoint_final.pth").read_bytes() == CONTENT
    assert (folder / "LICENSE").read_text() == "CC BY 4.0\nhttps://example.org/small\n"
    hashes = json.loads((folder / "sha256.json").read_text())
    assert hashes == {"plans.json": sha256(b"{}"), "fold_0/checkpoint_final.pth": sha256(CONTENT)}
    check_form("sha256", folder / "sha256.json")
    server.asked.clear()
    assert fetch(source, tmp_path) == folder
    assert server.asked == []


def test_a_file_that_changed_since_is_noticed(server: Server, tmp_path: Path) -> None:
    server.files["/a.pth"] = CONTENT
    source = source_of(server, "a.pth")
    folder = fetch(source, tmp_path)
    (folder / "a.pth").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"a\.pth: sha256 is .*, expected"):
        fetch(source, tmp_path)
    (folder / "a.pth").unlink()
    fetch(source, tmp_path)
    assert (folder / "a.pth").read_bytes() == CONTENT


def test_the_hash_of_the_table_counts(server: Server, tmp_path: Path) -> None:
    server.files["/a.pth"] = CONTENT
    source = replace(source_of(server, "a.pth"), sha256="0" * 64)
    with pytest.raises(ModelError, match="expected 0000"):
        fetch(source, tmp_path)


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        for name in names:
            content.writestr(name, "hello")
    return buffer.getvalue()


def test_an_archive_is_unpacked_inside_its_folder(server: Server, tmp_path: Path) -> None:
    server.files["/m.zip"] = archive("model/plans.json")
    folder = fetch(source_of(server, "m.zip"), tmp_path)
    assert (folder / "model" / "plans.json").read_text() == "hello"
    server.files["/n.zip"] = archive("../../outside.txt")
    with pytest.raises(ModelError, match="outside its folder"):
        fetch(source_of(server, "n.zip"), tmp_path)
    assert (
        not (tmp_path / "outside.txt").exists() and not (tmp_path.parent / "outside.txt").exists()
    )
    server.files["/o.zip"] = b"no archive"
    with pytest.raises(ModelError, match="not a zip archive"):
        fetch(source_of(server, "o.zip"), tmp_path)


def test_a_source_without_addresses_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"visit https://zenodo.org/records/13753413"):
        fetch(known_source("multitalent-v2"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_hashes_that_cannot_be_read(server: Server, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "sha256.json").write_text("no json")
    with pytest.raises(ModelError, match=r"sha256\.json: not readable"):
        fetch(source_of(server, "a.pth"), tmp_path)
