"""What surrounds the package: workflows, templates, citation and change log agree with it and with each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nnunet_prompt import __version__
from nnunet_prompt.cli.main import VERBS
from tests.helpers.each import each

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
SCRIPTS = Path(sys.executable).parent
MOVING = {"actions", "docker", "pypa"}  # owners whose actions are taken by version


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


# Versions ---------------------------------------------------------------------------------------------------------


def test_every_file_has_the_version_of_the_package() -> None:
    (project,) = re.findall(r'^version = "(.+)"$', _text("pyproject.toml"), re.MULTILINE)
    citation = _read(ROOT / "CITATION.cff")
    assert {project, str(citation["version"]), json.loads(_text(".zenodo.json"))["version"]} == {
        __version__
    }


def test_citation_has_what_the_format_requires() -> None:
    citation = _read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "type", "license"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert all(set(a) & {"name", "family-names"} for a in citation["authors"])
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        assert re.fullmatch(r"10\.\d{4,9}/\S+", reference["doi"])


def test_zenodo_and_citation_agree() -> None:
    zenodo, citation = json.loads(_text(".zenodo.json")), _read(ROOT / "CITATION.cff")
    assert zenodo["title"] == citation["title"]
    assert zenodo["license"] == citation["license"]
    assert zenodo["keywords"] == citation["keywords"]
    assert [c["name"] for c in zenodo["creators"]] == [a["name"] for a in citation["authors"]]
    assert zenodo["upload_type"] == "software"
    related = [one["identifier"] for one in zenodo["related_identifiers"]]
    assert related == [reference["doi"] for reference in citation["references"]]


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    titles = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", _text("CHANGELOG.md"), re.M)
    assert titles[0] == ("Unreleased", "")
    assert all(date for _, date in titles[1:])
    versions = [tuple(map(int, name.split("."))) for name, _ in titles[1:]]
    assert versions == sorted(versions, reverse=True)
    kinds = re.findall(r"^### (.+)$", _text("CHANGELOG.md"), re.M)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


# Workflows --------------------------------------------------------------------------------------------------------


def test_actionlint_finds_nothing() -> None:
    program = shutil.which("actionlint", path=str(SCRIPTS)) or shutil.which("actionlint")
    if program is None:
        pytest.skip("no actionlint on this machine")
    done = subprocess.run([program, "-no-color"], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


def test_there_is_a_workflow_for_each_purpose() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "release", "tests"]


@each("path", WORKFLOWS)
def test_workflows_may_read_only_and_pin_their_actions(path: Path) -> None:
    workflow = _read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for used in (step["uses"] for step in _steps(workflow) if "uses" in step):
        owner, version = used.partition("/")[0], used.partition("@")[2]
        assert re.fullmatch(r"[0-9a-f]{40}", version) or owner in MOVING, used
        assert re.fullmatch(r"v\d+|release/v\d+|[0-9a-f]{40}", version), used


def test_the_tests_run_on_three_systems_and_every_python_that_we_take() -> None:
    matrix = _read(ROOT / ".github/workflows/tests.yml")["jobs"]["fast"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    taken = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', _text("pyproject.toml"))
    assert matrix["python"] == taken


def test_a_release_needs_no_stored_token() -> None:
    jobs = _read(ROOT / ".github/workflows/release.yml")["jobs"]
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert not any("with" in s and "password" in s["with"] for s in jobs["pypi"]["steps"])
    assert jobs["pypi"]["needs"] == jobs["image"]["needs"] == "build"


@each("path", WORKFLOWS)
def test_workflows_type_what_there_is(path: Path) -> None:
    """Targets of make and verbs of the command line that the steps name exist."""
    lines = "\n".join(step.get("run", "") for step in _steps(_read(path)))
    targets = set(re.findall(r"^([a-z][a-z-]*):", _text("Makefile"), re.MULTILINE))
    for line in re.findall(r"^\s*make (.+)$", lines, re.MULTILINE):
        named = [word for word in line.split() if re.fullmatch(r"[a-z-]+", word)]
        assert named
        assert set(named) <= targets | {"docs"}
    verbs = re.findall(r'(?:nnunet-prompt|nnunet_prompt|"\$image") ([a-z-]+)', lines)
    assert set(verbs) <= set(VERBS)


# Templates --------------------------------------------------------------------------------------------------------


@each("path", [path for path in TEMPLATES if path.stem != "config"])
def test_templates_have_the_form_that_the_site_reads(path: Path) -> None:
    template = _read(path)
    assert {"name", "description", "body"} <= set(template)
    fields = [field for field in template["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any("nnunet-prompt doctor --json" in field["attributes"]["label"] for field in fields)


def test_a_bug_needs_the_output_of_doctor() -> None:
    body = _read(ROOT / ".github/ISSUE_TEMPLATE/bug.yml")["body"]
    (doctor,) = (field for field in body if field.get("id") == "doctor")
    assert doctor["validations"] == {"required": True}


def test_hooks_before_a_commit_run_what_lint_runs() -> None:
    (repo,) = _read(ROOT / ".pre-commit-config.yaml")["repos"]
    entries = " ".join(hook["entry"] for hook in repo["hooks"])
    lint = _text("Makefile").partition("\nlint: ")[2].partition("\n\n")[0]
    tools = re.findall(r"\$\(BIN\)/(\w+)", lint)
    assert set(tools) == {"ruff", "mypy", "actionlint"}
    assert all(f".venv/bin/{tool}" in entries for tool in tools)
