"""What people look at: the size and the opening of a report of 200 cases, and the answers of the live page.

    python benchmarks/show.py MODEL IMAGES LABELS --name "Sunnybrook, long training"      # -n 8 cases

Needs Chromium, Playwright and the extra `view`. The report is that of `nnunet-prompt report` on synthetic hearts of
256x256x10 with five labels and noise for an image. In the live page of MODEL a user clicks the middle of the first
label, draws a box round it and clicks again, in each case; the seconds are those from the click to the server's answer
as the browser sees them, the repaint those from the answer until the second frame after it is drawn, in headless
Chromium (WebGL2 by SwiftShader, on the processor). Writes benchmarks/results/show.md and .json.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import metrics
import nibabel as nib
import numpy as np
from harness import HeldOut, Record, header, machine, row

from nnunet_prompt.common.log import progress

CASES, REPORT_MB, OPEN_S, ANSWER_S = 200, 25, 3, 2
STEPS = ("first click", "box", "second click")
FRAMES = """() => {
    const from = performance.now();
    return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(
        () => done(performance.now() - from))));
}"""


def main() -> int:
    """Measures both pages and writes the table."""
    from playwright.sync_api import sync_playwright

    args = harness.held_out_arguments(__doc__, cases=8)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    options = ["--no-sandbox", "--use-angle=swiftshader"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        results = {
            "machine": machine(),
            "browser": browser.version,
            "report": measure_report(browser, Path(folder)),
            "view": measure_view(browser, args, Path(folder)),
        }
        browser.close()
    text = report(results)
    print(text)
    Record("show").write(results, text)
    return 0


def measure_report(browser: Any, folder: Path) -> dict[str, Any]:
    """Makes the report of the synthetic hearts and opens it."""
    rng = np.random.default_rng(0)
    affine = np.diag([*metrics.SPACING_MM, 1.0])
    for name in ("images", "labels", "masks"):
        (folder / name).mkdir()
    for n in progress(range(CASES), "cases"):
        case = f"heart_{n:03}"
        for name, labels in zip(("labels", "masks"), metrics.case(n), strict=True):
            nib.save(nib.Nifti1Image(labels, affine), folder / name / f"{case}.nii.gz")
        image = rng.normal(100, 30, metrics.SHAPE).astype(np.int16)
        nib.save(nib.Nifti1Image(image, affine), folder / "images" / f"{case}_0000.nii.gz")
    page = folder / "report.html"
    command = [Path(sys.executable).with_name("nnunet-prompt"), "report", folder / "labels"]
    command += [folder / "masks", "-o", page, "-i", folder / "images"]
    begun = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True)
    made = time.perf_counter() - begun
    opened = [open_seconds(browser, page, CASES) for _ in range(5)]
    return {"cases": CASES, "made_s": made, "bytes": page.stat().st_size, "open_s": opened}


def open_seconds(browser: Any, path: Path, cases: int) -> float:
    """From the address to the second frame of the loaded page, in a context without a cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(FRAMES)
    seconds = time.perf_counter() - begun
    assert page.locator("article.case").count() == cases
    context.close()
    return seconds


def measure_view(browser: Any, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The seconds of each step and its repaint, over all cases."""
    from nnunet_prompt.view.desk import Desk
    from nnunet_prompt.view.options import ViewOptions

    found: dict[str, dict[str, list[float]]] = {s: {"answer_s": [], "repaint_s": []} for s in STEPS}
    options = ViewOptions(images=(args.images,), output=folder / "out")
    with served(Desk(harness.predictor(args.model), options)) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        for path in progress(args.paths, "cases"):
            case = HeldOut.read(path.name.removesuffix(".nii.gz"), args.images, args.labels)
            for step, (answer, repaint) in zip(STEPS, visit(page, case), strict=True):
                found[step]["answer_s"].append(answer)
                found[step]["repaint_s"].append(repaint)
        page.close()
    return {"name": args.name, "cases": len(args.paths), "steps": found}


def visit(page: Any, case: HeldOut) -> Iterator[tuple[float, float]]:
    """Opens the case, and yields the seconds of the answer and of the repaint for each step."""
    import playwright.sync_api as playwright

    busy = page.locator("#busy")
    page.locator("#cases option").nth(1).wait_for(state="attached")
    page.select_option("#cases", label=case.name)
    playwright.expect(busy).to_contain_text(f"opened {case.name}", timeout=60_000)
    playwright.expect(busy).not_to_have_class("on", timeout=60_000)
    canvas = page.locator(".pane.first canvas")
    box = canvas.bounding_box()
    page.keyboard.press("p")
    yield answered(page, lambda: page.mouse.click(*at(box, 0.5, 0.5)))
    page.keyboard.press("b")
    yield answered(page, lambda: drag(page, at(box, 0.41, 0.41), at(box, 0.56, 0.56)))
    page.keyboard.press("p")
    yield answered(page, lambda: page.mouse.click(*at(box, 0.48, 0.48)))


def at(box: dict[str, float], x: float, y: float) -> tuple[float, float]:
    """A place in the window, from shares of the canvas."""
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draws from one place to the other with the left button."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def answered(page: Any, act: Callable[[], object]) -> tuple[float, float]:
    """Seconds until the server has answered, and until the second frame after that."""
    begun = time.perf_counter()
    with page.expect_response("**/api/prompt") as answer:
        act()
    answer.value.finished()
    seconds = time.perf_counter() - begun
    assert answer.value.status == 200, answer.value.text()
    repaint = page.evaluate(FRAMES) / 1000
    page.wait_for_timeout(300)
    return seconds, repaint


@contextmanager
def served(desk: Any) -> Iterator[str]:
    """The address of a desk that is served from a thread."""
    import uvicorn

    from nnunet_prompt.view.options import ViewOptions
    from nnunet_prompt.view.serve import build

    application = build(desk, ViewOptions())
    config = uvicorn.Config(application, port=0, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        desk.close()


def report(results: dict[str, Any]) -> str:
    """The tables, and what is wanted."""
    page, view = results["report"], results["view"]
    lines = ["# What people look at", ""]
    lines += [f"{results['machine']}; Chromium {results['browser']}, headless.", ""]
    lines += [f"## The report of {page['cases']} cases", ""]
    lines += [
        f"{page['bytes'] / 1e6:.1f} MB (at most {REPORT_MB} are wanted), made in {page['made_s']:.0f} s; it opens in"
        f" {np.median(page['open_s']):.1f} s, slowest of five {max(page['open_s']):.1f} s (wanted: under {OPEN_S} s).",
        "",
        f"## The live page: {view['name']}, {view['cases']} cases",
        "",
        *header("step", "answer, median s", "slowest s", "repaint, median ms", "slowest ms"),
    ]
    for step, one in view["steps"].items():
        answer, repaint = one["answer_s"], [1000 * s for s in one["repaint_s"]]
        cells = (f"{np.median(answer):.2f}", f"{max(answer):.2f}")
        lines.append(row(step, *cells, f"{np.median(repaint):.0f}", f"{max(repaint):.0f}"))
    lines += ["", f"An answer within {ANSWER_S} s is wanted on two cores.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
