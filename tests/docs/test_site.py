"""The built site: strict, with nothing from elsewhere, free of barriers that axe-core finds, and fit for a phone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ON_A_PHONE = ("index", "how", "gains", "tutorials/own-data", "python", "reference/formats")
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules whose answers depend on the scheme
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


def build(target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    return subprocess.run(
        [*command, *more], cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=300
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(target)
    assert done.returncode == 0, done.stderr[-3000:]
    return target


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def pages_of(site: Path) -> list[Path]:
    return [p for p in sorted(site.rglob("*.html")) if p.name != "404.html"]


def barriers(page: Any, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds in an open page: the rule, and the first element that breaks it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    options = {"runOnly": {"type": "rule", "values": rules}} if rules else None
    found = axe.Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


def test_each_verb_and_picture_is_there(site: Path) -> None:
    assert (site / "notebook.ipynb").is_file() and (site / "schemas/prompts.schema.json").is_file()
    assert len(list((site / "gallery").glob("*.png"))) == 4
    assert 'id="weights-adapt"' in (site / "reference/verbs.html").read_text("utf-8")
    assert len(pages_of(site)) > 35


def test_the_build_takes_less_than_a_minute(site: Path, tmp_path: Path) -> None:
    """Of processor time, which other programs do not lengthen; the pictures of the gallery were drawn before."""
    before = os.times()
    assert build(tmp_path / "again").returncode == 0
    after = os.times()
    used = after.children_user - before.children_user
    used += after.children_system - before.children_system
    assert used < 60 and site.is_dir()


@in_browser
@pytest.mark.parametrize(
    ("scheme", "name", "rules", "every"),
    [("light", "default", None, 1), ("dark", "slate", COLOURS, 4)],  # pages share their colours
)
def test_no_page_has_a_barrier_or_asks_for_something_from_elsewhere(
    site: Path, browser: Any, scheme: str, name: str, rules: list[str] | None, every: int
) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found = {}
    for path in pages_of(site)[::every]:
        page.goto(path.as_uri())
        assert page.evaluate("document.body.dataset.mdColorScheme") == name
        found[path.relative_to(site).as_posix()] = barriers(page, rules)
    page.close()
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert asked and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@in_browser
@pytest.mark.parametrize("name", ON_A_PHONE)
def test_no_page_has_a_barrier_on_a_phone_or_is_wider_than_it(
    site: Path, browser: Any, name: str
) -> None:
    page = browser.new_page(color_scheme="dark", viewport={"width": 390, "height": 844})
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert barriers(page) == []
    page.close()


@in_browser
@pytest.mark.parametrize("name", ["index", "reference/formats"])
def test_search_from_the_disc_finds_a_page(site: Path, browser: Any, name: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((site / f"{name}.html").as_uri())
    page.click(".md-search__input")
    page.keyboard.type("scribble")
    found = page.locator(".md-search-result__link")
    found.first.wait_for(timeout=20_000)
    assert barriers(page) == []  # of the results, too
    links = [link.get_attribute("href") for link in found.all()]
    assert any("prompts.html" in str(link) for link in links), links
    found.first.click()
    page.wait_for_load_state()
    assert "scribble" in page.inner_text("article").lower() and errors == []
    page.click(".md-search__input")
    page.keyboard.type("qqqxyzzy")
    page.get_by_text("No matching documents").wait_for(timeout=20_000)
    page.close()


@in_browser
def test_barriers_are_found(browser: Any) -> None:
    page = browser.new_page()
    page.set_content("<html lang='en'><title>a</title><main><h1>a</h1><img src='data:,'></main>")
    assert [line.split(":")[0] for line in barriers(page)] == ["image-alt"]
    page.set_content("<html lang='en'><title>a</title><p style='color: #aaa'>pale words</p>")
    assert [line.split(":")[0] for line in barriers(page, COLOURS)] == ["color-contrast"]
    page.close()


@pytest.mark.parametrize("line", ["[x](no-such.md)", "[x](how.md#no-such)"])
def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path, line: str) -> None:
    """In a small copy of the site: the same settings, two pages."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A\n\n{line}\n")
    (tmp_path / "docs" / "how.md").write_text("# B\n")
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    kept = settings.split("nav:\n  - Start")[0].replace("hooks: [website/hooks.py]\n", "")
    config = tmp_path / "mkdocs.yml"
    config.write_text(kept + "nav: [index.md, how.md]\n")
    done = build(tmp_path / "site", "--config-file", str(config))
    assert done.returncode != 0 and "no-such" in done.stderr
