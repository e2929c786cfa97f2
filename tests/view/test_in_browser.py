"""The live page in a real browser: a click, a box, the mask over the image, undo, and the saved file.

The last test opens a real image: one of NNUNET_PROMPT_VIEW_IMAGES, else of the archive in NNUNET_PROMPT_DATA. It takes
the trained model NNUNET_PROMPT_VIEW_MODEL where that is named.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predictor import PromptPredictor
from nnunet_prompt.inference.session import PromptSession
from nnunet_prompt.view.desk import Desk
from nnunet_prompt.view.options import ViewOptions
from nnunet_prompt.view.serve import build
from tests.helpers.predictors import predictor
from tests.view.desks import SHAPE, write_case

uvicorn = pytest.importorskip("uvicorn", reason="the extra `view` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MODEL = os.environ.get("NNUNET_PROMPT_VIEW_MODEL", "")
IMAGES = os.environ.get("NNUNET_PROMPT_VIEW_IMAGES", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
BUSY_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        args = ["--no-sandbox", "--use-angle=swiftshader"]
        opened = running.chromium.launch(executable_path=CHROMIUM, args=args)
        yield opened
        opened.close()


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """The address of a desk that is served from a thread."""
    config = uvicorn.Config(
        build(desk, ViewOptions()), port=0, log_level="warning", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()
        desk.close()


class Page:
    """The page with a case open, and what a user does with it."""

    def __init__(self, browser: Any, address: str, case: str) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.problems: list[str] = []
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else 0)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda r: self._check(r.url, address))
        self.steps: list[tuple[str, dict[str, Any]]] = []  # the changes that the page asked for
        self.page.goto(address)
        self.page.locator("#cases option").nth(1).wait_for(state="attached", timeout=BUSY_MS)
        if self.page.locator("#cases option:checked").text_content() != case:
            self.page.select_option("#cases", label=case)
        self.wait_for("opened " + case)

    def _check(self, url: str, address: str) -> None:
        if not url.startswith((address, "blob:", "data:")):
            self.problems.append(f"reached {url}")

    def wait_for(self, text: str) -> None:
        busy = self.page.locator("#busy")
        playwright.expect(busy).to_contain_text(text, timeout=BUSY_MS)
        playwright.expect(busy).not_to_have_class("on", timeout=BUSY_MS)

    def change(self, what: str, act: Callable[[], object]) -> float:
        """Does something, and returns the seconds until the server's answer."""
        start = time.perf_counter()
        with self.page.expect_response(f"**/api/{what}") as answer:
            act()
        assert answer.value.status == 200, answer.value.text()
        self.steps.append((what, json.loads(answer.value.request.post_data or "{}")))
        seconds = time.perf_counter() - start
        playwright.expect(self.page.locator("#busy")).not_to_have_class("on", timeout=BUSY_MS)
        return seconds

    def click(self, x: float, y: float, **more: Any) -> None:
        """Clicks on the large plane, at shares of its width and height."""
        box = self.page.locator(".pane.first canvas").bounding_box()
        place = {"x": x * box["width"], "y": y * box["height"]}
        self.page.locator(".pane.first canvas").click(position=place, **more)

    def drag(self, *places: tuple[float, float]) -> None:
        box = self.page.locator(".pane.first canvas").bounding_box()
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        self.page.mouse.move(*at[0])
        self.page.mouse.down()
        for place in at[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    def reddish(self) -> int:
        """How many pixels of the large plane have the colour of the first label."""
        self.page.wait_for_timeout(200)  # one repaint
        count = """canvas => {
            const d = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let n = 0;
            for (let i = 0; i < d.length; i += 4) n += d[i] > d[i + 1] + 40 && d[i] > d[i + 2] + 40;
            return n;
        }"""
        return int(self.page.locator(".pane.first canvas").evaluate(count))


def replayed(
    image: Path, model: PromptPredictor, steps: list[tuple[str, dict[str, Any]]]
) -> npt.NDArray[Any]:
    """The mask of a session that is shown the same prompts one after the other; where tiles lie depends on the way."""
    session = PromptSession(model)
    session.set_image(image)
    undone: list[dict[str, Any]] = []
    for what, said in steps:
        if what == "undo":
            undone.append([said for what, said in steps if what == "prompt"][-1])
            session.undo()
        given = undone.pop() if what == "redo" else said
        if what in ("prompt", "redo"):
            kind, label, sign = given["kind"], given["label"], given["positive"]
            if kind == "point":
                session.add_point(given["position"], label, positive=sign)
            elif kind == "box":
                session.add_box(given["lower"], given["upper"], label, positive=sign)
            else:
                session.add_scribble(given["path"], label, positive=sign)
        mask = session.predict()
    return mask


def test_a_visit(browser: Any, tmp_path: Path) -> None:
    """The network answers boxes: the mask is the box that was dragged."""
    image = write_case(tmp_path / "images")
    options = ViewOptions(images=(tmp_path / "images",), output=tmp_path / "out")
    with served(Desk(predictor(), options)) as address:
        at = Page(browser, address, "heart")
        before = at.reddish()
        at.page.keyboard.press("b")
        at.change("prompt", lambda: at.drag((0.45, 0.4), (0.6, 0.6)))
        assert at.reddish() > before + 500
        playwright.expect(at.page.locator("#labels li").first).to_contain_text("ml")
        at.page.keyboard.press("s")
        at.change("prompt", lambda: at.drag((0.5, 0.5), (0.52, 0.5), (0.54, 0.54)))
        at.page.keyboard.press("p")
        at.change("prompt", lambda: at.click(0.4, 0.3, button="right"))  # outside
        at.change("undo", lambda: at.page.keyboard.press("Control+z"))
        at.change("redo", lambda: at.page.keyboard.press("y"))
        at.change("lock", lambda: at.page.keyboard.press("l"))
        at.change("lock", lambda: at.page.keyboard.press("l"))
        at.page.keyboard.press("?")
        playwright.expect(at.page.locator("#keys")).to_contain_text("undo")
        at.page.keyboard.press("Escape")
        at.change("save", lambda: at.page.keyboard.press("Control+s"))
        at.wait_for("saved")
        assert at.problems == []
        at.page.close()
    said = json.loads((tmp_path / "out" / "heart_prompts.json").read_text())["cases"]["heart"][
        "500"
    ]
    assert [len(said[kind]) for kind in ("points", "boxes", "scribbles")] == [1, 1, 1]
    assert said["points"][0]["positive"] is False
    expected = replayed(image, predictor(), at.steps)
    saved = np.asarray(nib.load(tmp_path / "out" / "heart.nii.gz").dataobj)
    assert saved.shape == SHAPE and expected.any() and np.array_equal(saved, expected)


def test_single_prompts_are_deleted_and_locks_are_undone(browser: Any, tmp_path: Path) -> None:
    write_case(tmp_path / "images")
    options = ViewOptions(images=(tmp_path / "images",), output=tmp_path / "out")
    with served(Desk(predictor(), options)) as address:
        at = Page(browser, address, "heart")
        rows = at.page.locator("#prompts li")
        playwright.expect(at.page.locator("#prompted")).to_be_hidden()
        at.page.keyboard.press("b")
        at.change("prompt", lambda: at.drag((0.3, 0.4), (0.4, 0.6)))
        one = at.reddish()
        at.change("prompt", lambda: at.drag((0.6, 0.4), (0.7, 0.6)))
        both = at.reddish()
        assert both > one + 200
        at.page.keyboard.press("p")
        at.change("prompt", lambda: at.click(0.2, 0.2, button="right"))
        playwright.expect(rows).to_have_count(3)
        playwright.expect(rows.first).to_contain_text(
            "point at"
        )  # as the server counts: points first
        rows.nth(2).locator(".show").click()
        at.change("remove", lambda: at.page.keyboard.press("Delete"))
        playwright.expect(rows).to_have_count(2)
        assert at.reddish() < both - 200
        at.page.keyboard.press("Delete")  # none is chosen any more
        playwright.expect(at.page.locator("#error")).to_contain_text("choose a prompt")
        at.change(
            "remove", lambda: rows.first.get_by_role("button", name="Delete the point").click()
        )
        playwright.expect(rows).to_have_count(1)
        at.change("undo", lambda: at.page.locator("#undo").click())
        at.change("undo", lambda: at.page.locator("#undo").click())
        playwright.expect(rows).to_have_count(3)
        lock = at.page.get_by_role("button", name="Lock").first
        at.change("lock", lambda: lock.click())
        unlock = at.page.get_by_role("button", name="Unlock").first
        playwright.expect(unlock).to_be_visible()
        at.change("undo", lambda: at.page.keyboard.press("z"))
        playwright.expect(unlock).to_have_count(0)
        at.change("redo", lambda: at.page.keyboard.press("y"))
        playwright.expect(unlock).to_be_visible()
        at.page.keyboard.press("1")
        rows.first.locator(".show").click()
        with at.page.expect_response("**/api/remove") as answer:
            at.page.keyboard.press("Delete")
        assert answer.value.status == 400  # it is locked
        playwright.expect(at.page.locator("#error")).to_contain_text("unlock it first")
        assert len(at.problems) == 1 and "400" in at.problems[0]  # as the browser reports it
        at.page.close()


@pytest.fixture
def real_case(tmp_path: Path) -> Path:
    """A real short-axis image, at end systole, in a folder of its own."""
    folder = tmp_path / "real"
    folder.mkdir()
    if IMAGES:
        found = sorted(Path(IMAGES).glob("*05_es_0000.nii.gz"))[0]
        return shutil.copy(found, folder / found.name)
    packed = Path(os.environ.get("NNUNET_PROMPT_DATA", "")) / "sunnybrook.tar.gz"
    if not packed.is_file():
        pytest.skip("NNUNET_PROMPT_DATA names no folder with sunnybrook.tar.gz")
    with tarfile.open(packed) as archive:
        member = min(m.name for m in archive if m.name.endswith("_es_0000.nii.gz"))
        content = archive.extractfile(member)
        assert content is not None
        image = folder / Path(member).name
        image.write_bytes(content.read())
    return image


def test_a_real_case(browser: Any, tmp_path: Path, real_case: Path) -> None:
    """A point, a box, undo and save on a real image; without a trained model the network answers boxes alone."""
    model = PromptPredictor(MODEL, PredictOptions(device="cpu")) if MODEL else predictor()
    case = real_case.name.removesuffix("_0000.nii.gz")
    options = ViewOptions(images=(real_case.parent,), output=tmp_path / "out")
    with served(Desk(model, options)) as address:
        at = Page(browser, address, case)
        before = at.reddish()
        at.change("prompt", lambda: at.click(0.5, 0.5))
        at.page.keyboard.press("b")
        at.change("prompt", lambda: at.drag((0.41, 0.41), (0.56, 0.56)))
        assert at.reddish() > before + 2000
        at.page.keyboard.press("p")
        at.change("prompt", lambda: at.click(0.48, 0.48))
        at.change("undo", lambda: at.page.locator("#undo").click())
        at.page.screenshot(path=tmp_path / "page.png")
        at.change("save", lambda: at.page.locator("#save").click())
        assert at.problems == []
        at.page.close()
    told = json.loads((tmp_path / "out" / f"{case}_prompts.json").read_text())["cases"][case]
    label = next(iter(told))
    assert len(told[label]["points"]) == len(told[label]["boxes"]) == 1
    expected = replayed(real_case, model, at.steps)
    saved = np.asarray(nib.load(tmp_path / "out" / f"{case}.nii.gz").dataobj)
    assert expected.any() and np.array_equal(saved, expected)
