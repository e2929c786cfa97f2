"""The hooks of mkdocs: pages from the parsers, docstrings, schemas and result files, and links between all of them.

Raises mkdocs' `PluginError`, which ends the build, where a verb, an option or a public name has no description.
"""

from __future__ import annotations

import os.path
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402

from nnunet_prompt.cli.main import build_parser  # noqa: E402
from website import api, formats, gallery, notebook, results  # noqa: E402
from website.undocumented import Undocumented  # noqa: E402
from website.verbs import verbs_page  # noqa: E402

# Files outside docs that have a page of their own.
OUTSIDE = {
    "container/README.md": "container.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
}
_TARGET = re.compile(r"(\]\()((?![a-z]+:|#)[^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Lists the pages of results in the navigation."""
    (found,) = (entry for entry in config["nav"] if "Results" in entry)
    made = results.pages(ROOT / "benchmarks" / "results")
    found["Results"] = list(dict.fromkeys([*found["Results"], *made]))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages and pictures that are made by the build."""
    try:
        pages = {
            "reference/verbs.md": verbs_page(build_parser()),
            "reference/api.md": api.api_page(),
            "reference/formats.md": formats.formats_page(),
            **results.pages(ROOT / "benchmarks" / "results"),
            **{
                page: (ROOT / path).read_text("utf-8")
                for path, page in OUTSIDE.items()
                if page != "index.md"
            },
        }
    except Undocumented as error:
        raise PluginError(str(error)) from error
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    for name, schema in formats.schemas().items():
        files.append(File.generated(config, f"schemas/{name}", content=schema))
    for path in gallery.pictures(ROOT / "build" / "gallery"):
        files.append(File.generated(config, f"gallery/{path.name}", abs_src_path=str(path)))
    files.append(File.generated(config, "gallery.md", content=gallery.gallery_page()))
    content = notebook.notebook_json(notebook.SOURCE.read_text("utf-8"))
    if not files.get_file_from_path("notebook.ipynb"):
        files.append(File.generated(config, "notebook.ipynb", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Leads links to files outside docs to their pages; a fence with a file's name shows it as its title."""
    return titled(linked(markdown, page.file.src_uri))


def on_page_content(html: str, **_: Any) -> str:
    """Empty cells of a table's head are cells: a head without words is none for a screen reader."""
    return re.sub(r"<th( style=\"[^\"]*\")?></th>", r"<td\1></td>", html)


def linked(markdown: str, uri: str) -> str:
    """`markdown` of the page `uri`, with links to `OUTSIDE` and to result files as links between pages."""
    folder = _home(uri)

    def lead(match: re.Match[str]) -> str:
        path = os.path.normpath(PurePosixPath(folder, match[2]))
        page = page_of(path)
        if page is None:
            return match[0]
        lead = os.path.relpath(page, PurePosixPath(uri).parent)
        return f"{match[1]}{lead}{match[3] or ''})"

    return _TARGET.sub(lead, markdown)


def _home(uri: str) -> str:
    """The folder of the repository that links of a page start from."""
    for path, page in OUTSIDE.items():
        if page == uri and page != "index.md":
            return str(PurePosixPath(path).parent)
    if uri.startswith("results/"):
        return "benchmarks/results"
    return str(PurePosixPath("docs", uri).parent)


def page_of(path: str) -> str | None:
    """The page of a file outside docs, or of one in docs that is linked from outside; None: it is no such file."""
    found = re.fullmatch(r"benchmarks/results/(\w+\.md)", path)
    if found:
        return f"results/{found[1]}"
    inside = re.fullmatch(r"docs/(.+)", path)
    return inside[1] if inside else OUTSIDE.get(path)


def titled(markdown: str) -> str:
    return re.sub(r"^```(\w+) ([\w.]+)$", r'```\1 title="\2"', markdown, flags=re.MULTILINE)
