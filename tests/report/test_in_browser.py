"""The page in a real browser: chromium of the system, headless, by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from nnunet_prompt.evaluation.results import Evaluation
from nnunet_prompt.report.masks import IMAGES_BYTES, write_report
from nnunet_prompt.report.options import ReportOptions
from nnunet_prompt.report.page import write_page
from nnunet_prompt.report.pictures import CasePictures, Scene, scene_pictures
from nnunet_prompt.report.sections import masks_page
from nnunet_prompt.report.study import Arm, Study
from tests.report.small import Small, write_small

pytestmark = pytest.mark.slow
CHROMIUM = next((p for n in ("chromium", "chromium-browser") if (p := shutil.which(n))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = write_small(tmp_path_factory.mktemp("small"))
    options = ReportOptions(
        images=small.images,
        prompts=small.prompts,
        names={500: "LV", 200: "scar"},
        groups=small.groups,
    )
    write_report(small.labels, [small.masks], small.output, options=options)
    both = small.root / "both.html"
    write_report(small.labels, [small.masks, small.better], both, options=options)
    return small


@pytest.fixture
def page(browser: Any, small: Small) -> Iterator[Any]:
    """The page of one folder; at the end nothing has been complained about and nothing fetched."""
    yield from opened(browser, small.output)


def opened(browser: Any, path: Path, **context: Any) -> Iterator[Any]:
    here = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True, **context)
    page, bad = here.new_page(), []
    page.on("console", lambda message: bad.append(message.text))
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.on("requestfailed", lambda request: bad.append(request.url))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or bad.append(r.url))
    page.goto(path.as_uri(), wait_until="load")
    yield page
    here.close()
    assert bad == []


def cases(page: Any) -> list[str]:
    """The first column of the rows that are shown."""
    rows = page.locator("#cases-table tbody tr:not([hidden]) th")
    return [text.strip() for text in rows.all_inner_texts()]


def head(page: Any, text: str) -> Any:
    return page.locator("#cases-table thead th").filter(has_text=text)


def test_it_sorts_by_click_and_by_keyboard(page: Any) -> None:
    assert cases(page) == ["c4", "c3", "c2", "c1"]
    head(page, "Case").get_by_role("button").click()
    assert cases(page) == ["c1", "c2", "c3", "c4"]
    assert head(page, "Case").get_attribute("aria-sort") == "ascending"
    head(page, "Mean HD95").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert cases(page) == ["c1", "c2", "c3", "c4"]
    page.keyboard.press("Space")
    assert cases(page) == ["c4", "c3", "c2", "c1"]
    assert head(page, "Mean HD95").get_attribute("aria-sort") == "descending"
    assert head(page, "Case").get_attribute("aria-sort") == "none"


def test_the_filter_hides_rows_and_sections(page: Any) -> None:
    page.get_by_label("Filter").fill("c2")
    assert cases(page) == ["c2"]
    assert page.locator("article.case:visible").count() == 1
    assert page.locator("#shown").inner_text() == "1 of 4 cases"
    page.get_by_label("Filter").fill("")
    page.get_by_role("combobox", name="centre").select_option("A")
    assert sorted(cases(page)) == ["c1", "c3"]
    page.get_by_role("combobox", name="centre").select_option("")
    assert len(cases(page)) == 4


def test_a_case_is_followed_from_its_name_and_its_dot(page: Any) -> None:
    page.locator("#cases-table").get_by_role("link", name="c1").click()
    section = page.locator("article.case").filter(has=page.get_by_role("heading", name="c1"))
    assert page.url.endswith(f"#{section.get_attribute('id')}")
    page.wait_for_timeout(900)  # it scrolls there
    box, height = section.bounding_box(), page.viewport_size["height"]
    assert 0 <= box["y"] < height
    images = section.locator("img")
    assert images.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    page.locator("svg.chart a").first.dispatch_event("click")
    assert "#case-" in page.url


def test_layers_are_switched(page: Any) -> None:
    outlines = page.locator("g.ref").first
    page.locator("article.case").first.scroll_into_view_if_needed()
    assert outlines.is_visible() and page.locator("g.given").first.is_visible()
    page.get_by_role("checkbox", name="Reference").uncheck()
    page.get_by_role("checkbox", name="Prompts").uncheck()
    assert not outlines.is_visible() and not page.locator("g.given").first.is_visible()
    assert page.locator("g.first").first.is_visible()


@pytest.mark.parametrize("width", [1280, 800, 400])
@pytest.mark.parametrize("name", ["report.html", "both.html"])
def test_nothing_sticks_out(browser: Any, small: Small, width: int, name: str) -> None:
    for page in opened(browser, small.root / name):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_dark_where_that_is_wanted(browser: Any, small: Small) -> None:
    colours = []
    for scheme in ("light", "dark"):
        for page in opened(browser, small.output, color_scheme=scheme):
            ground = "getComputedStyle(document.body).backgroundColor"
            text = "getComputedStyle(document.querySelector('svg.chart text')).fill"
            colours.append([sum(numbers(page.evaluate(one))) for one in (ground, text)])
    (light_ground, light_text), (dark_ground, dark_text) = colours
    assert light_ground > 700 > 200 > light_text and dark_ground < 150 < 500 < dark_text


def numbers(colour: str) -> list[int]:
    return [int(n) for n in colour.partition("(")[2].rstrip(")").split(",")[:3]]


def test_every_chart_has_a_name_and_a_description(page: Any) -> None:
    charts = page.locator("svg.chart")
    assert charts.count() >= 4
    for n in range(charts.count()):
        words = charts.nth(n).get_attribute("aria-labelledby").split()
        texts = [page.locator(f"[id='{word}']").text_content() for word in words]
        assert len(texts) == 2 and all(texts)
    assert page.get_by_role("img", name="Dice by structure").count() == 1


def test_200_cases_are_small_and_open(browser: Any, tmp_path: Path) -> None:
    """Noise, which cannot be compressed, and five ragged structures in each slice; benchmarks/show.py has the times."""
    path = write_many(tmp_path, cases=200)
    assert path.stat().st_size < 25e6
    for page in opened(browser, path):
        assert page.locator("article.case").count() == 200
        assert page.locator("article.case img").count() == 1000


def write_many(folder: Path, cases: int) -> Path:
    """The page of many cases of 256 x 256 x 10, whose pictures are those of one."""
    rng = np.random.default_rng(0)
    reference, found = (ragged(rng) for _ in range(2))
    share = IMAGES_BYTES // (5 * cases)
    image = rng.normal(100, 30, reference.shape).astype(np.float32)
    names = {value: f"structure {value}" for value in range(1, 6)}
    scene = Scene(reference, (found,), image, (), (8.0, 1.25, 1.25), names)
    pictures = CasePictures(tuple(scene_pictures(scene, share)))
    scores = {
        f"case {n:03}": {
            str(value): {"dice": dice, "hd95_mm": 9 * (1 - dice), "volume_error": dice - 0.5}
            for value, dice in zip(names, rng.uniform(0.4, 1, 5).tolist(), strict=True)
        }
        for n in range(cases)
    }
    about = {str(v): {"name": name, "only_label": 0} for v, name in names.items()}
    results = {
        "cases": scores,
        "mean": {v: {"dice": 1, "hd95_mm": 1, "volume_error": 1} for v in about},
    }
    results |= {"structures": about, "counts": {"scored": cases, "label_files": cases}}
    results |= {"rules": {"missing": "error", "ignore_label": None, "names": None, "empty": "none"}}
    members = {group: list(scores)[n::5] for n, group in enumerate("ABCDE")}
    results |= {"groups": {"centre": {"groups": {g: {"cases": own} for g, own in members.items()}}}}
    arm = Arm("masks", folder, cast("Evaluation", results))
    study = Study(folder, (arm,))
    page = masks_page(study, dict.fromkeys(scores, pictures), [], ReportOptions(images=folder))
    write_page("masks.html", folder / "many.html", page=page)
    return folder / "many.html"


def ragged(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Five rings (slices, rows, columns) with ragged borders."""
    y, x = np.mgrid[:256, :256] - 128.0
    distance = np.hypot(x, y) + rng.normal(0, 1.2, (10, 256, 256))
    rings = np.ceil(distance / 20).astype(np.int32)
    return np.where(rings <= 5, rings, 0)


def test_it_prints(browser: Any, small: Small) -> None:
    for page in opened(browser, small.output):
        # Asked from outside: the page's policy forbids what wait_for_function evaluates inside.
        every = "[...document.images].every(one => !one.loading.startsWith('l') && one.complete)"
        for _ in range(100):
            if page.evaluate(every):
                break
            page.wait_for_timeout(100)
        assert page.evaluate(every)
        printed = page.pdf(format="A4")
        assert printed.startswith(b"%PDF") and printed.count(b"/Subtype /Image") >= 16
