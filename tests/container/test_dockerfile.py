"""What the Dockerfile, the command line and the files beside it have to agree on; hadolint looks at the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nnunet_prompt.cli.main import build_parser
from tests.helpers.each import each

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_submit_finds_its_folders_in_the_containers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = DOCKERFILE.split(" AS runtime\n")[1].split("\nFROM ")[0]
    variables = dict(re.findall(r"(nnUNet_prompt_\w+)=(\S+)", stage))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    args = build_parser().parse_args(["submit"])
    found = (args.input, args.output, args.model)
    assert found == (Path("/input"), Path("/output"), Path("/opt/model"))
    assert len(variables) == 3


def test_what_is_typed_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("input", "output", "model"):
        monkeypatch.setenv(f"nnUNet_prompt_{name}", "/from/environment")
    args = build_parser().parse_args(["submit", "-i", "a", "-o", "b", "-m", "c"])
    assert (args.input, args.output, args.model) == (Path("a"), Path("b"), Path("c"))


@each(("name", "option"), [("input", "-i"), ("output", "-o"), ("model", "-m")])
def test_without_it_or_with_an_empty_one_they_are_required(
    name: str,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for other in {"input", "output", "model"} - {name}:
        monkeypatch.setenv(f"nnUNet_prompt_{other}", "/there")
    monkeypatch.setenv(f"nnUNet_prompt_{name}", "")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["submit"])
    assert f"the following arguments are required: {option}" in capsys.readouterr().err


def test_predict_does_not_listen_to_the_containers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("nnUNet_prompt_model", "/opt/model")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["predict", "-i", "a", "-o", "b"])


def test_the_image_is_what_a_challenge_wants() -> None:
    final = DOCKERFILE.split("\nFROM ")[-1].splitlines()
    assert 'ENTRYPOINT ["nnunet-prompt", "submit"]' in final
    assert "HEALTHCHECK NONE" in final
    (user,) = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert re.search(r"^ARG BASE=python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.M)


def test_only_the_checked_model_gets_into_the_image() -> None:
    copies = re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    assert copies[-1] == "--from=checked /opt/model /opt/model"


def test_all_that_is_copied_reaches_the_engine() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [rule[1:] for rule in rules if rule.startswith("!")]
    assert "*" in rules
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            path = Path(source.replace("${VARIANT}", "cpu"))
            assert any(path.match(rule) or Path(rule) in path.parents for rule in sent), source


def test_the_image_of_the_package_runs_any_verb_and_has_no_folders_of_a_challenge() -> None:
    stage = DOCKERFILE.split(" AS cli\n")[1].split("\nFROM ")[0]
    assert 'ENTRYPOINT ["nnunet-prompt"]' in stage and "nnUNet_prompt_" not in stage
    before = DOCKERFILE.split(" AS settings\n")[1].split("\nFROM ")[0]
    assert "USER 10001:10001" in before and "nnUNet_prompt_" not in before
