"""The tutorials, followed word by word in one empty folder: each of their blocks is run as it is printed.

The first one runs on hippocampus where NNUNET_PROMPT_DATA has it, else on phantoms; the others continue with its model.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.networks.capability import CAPABILITY_FILE
from tests.docs.blocks import RUN, Reader, blocks_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorials"
FIRST = PAGES / "own-data.md"
OTHERS = ("refine", "viewers", "partial-labels", "weights", "few-cases")
CASES = 8  # of hippocampus


def variables() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("nnUNet")}
    return kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def put_hippocampus(archive: Path, target: Path) -> None:
    """The first cases of the archive, which has nnU-Net's layout."""
    with tarfile.open(archive) as tar:
        cases = sorted(n for n in tar.getnames() if "/labelsTr/" in n and n.endswith(".nii.gz"))
        images = [n.replace("labelsTr", "imagesTr").replace(".nii", "_0000.nii") for n in cases]
        for name in ("hippocampus/dataset.json", *cases[:CASES], *images[:CASES]):
            tar.extract(name, target.parent, filter="data")
    (target.parent / "hippocampus").rename(target)
    content = json.loads((target / "dataset.json").read_text()) | {"numTraining": CASES}
    (target / "dataset.json").write_text(json.dumps(content))


class Clicked:
    """What the page asks of its server, done by a test: open a case, click, save."""

    def __init__(self) -> None:
        self.changed = 0

    def __call__(self, address: str) -> None:
        self.address = address.rstrip("/")
        start = json.loads(self.ask("/api/start"))
        case = start["cases"][0]
        opened = json.loads(self.ask("/api/open", {"case": case["id"]}))
        key = {"X-Tab": opened["tab"]}
        middle = [n // 2 for n in opened["shape"]]
        click = {"label": 1, "kind": "point", "position": middle, "positive": True}
        self.ask("/api/prompt", click, key)
        self.ask("/api/save", {}, key)

    def ask(self, path: str, content: Any = None, headers: dict[str, str] | None = None) -> bytes:
        data = None if content is None else json.dumps(content).encode()
        known = {"Content-Type": "application/json", "X-Nnunet-Prompt": "1", **(headers or {})}
        request = urllib.request.Request(self.address + path, data, known)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The reader after the first tutorial."""
    reader = Reader(tmp_path_factory.mktemp("tutorials"), variables())
    data = os.environ.get("NNUNET_PROMPT_DATA")
    archive = Path(data, "hippocampus.tar.gz") if data else None
    if archive is not None and archive.is_file():
        put_hippocampus(archive, reader.folder / "mydata")
    reader.follow(FIRST, Clicked())
    yield reader


def test_the_first_tutorial_ends_with_a_mask_from_clicks_and_a_report(followed: Reader) -> None:
    (mask,) = (followed.folder / "clicked").glob("*.nii.gz")
    image = next((followed.folder / "new").glob(f"{mask.name.removesuffix('.nii.gz')}*"))
    array = np.asarray(nib.load(mask).dataobj)
    assert array.shape == nib.load(image).shape
    assert array[tuple(n // 2 for n in array.shape)] == 1
    report = (followed.folder / "report.html").read_text("utf-8")
    assert report.count("<svg") > 2 and 'src="http' not in report
    assert len(list((followed.folder / "prompted").glob("*.nii.gz"))) == 2


@pytest.mark.parametrize("name", OTHERS)
def test_every_block_of_a_tutorial_runs(followed: Reader, name: str) -> None:
    reader = Reader(followed.folder, variables())
    reader.follow(PAGES / f"{name}.md")
    leaves = {
        "refine": "played/interactions.json",
        "weights": "start.pth",
        "few-cases": "merged.pth",
        "viewers": "nnInteractive_mine/inference_info.json",
        "partial-labels": f"results/Dataset511_Partly/*/{CAPABILITY_FILE}",
    }
    assert list(followed.folder.glob(leaves[name]))


def test_the_tutorials_are_these() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {FIRST.stem, *OTHERS}
    assert all(blocks_of(path) for path in PAGES.glob("*.md"))
    assert RUN == ("bash", "bash serve", "python")
