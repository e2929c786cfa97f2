"""Commands and options that README and the pages name exist, and every verb stands in a page that somebody wrote."""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from nnunet_prompt.cli.main import build_parser
from tests.helpers.each import each

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    p.relative_to(ROOT).as_posix()
    for p in (ROOT / "README.md", ROOT / "container/README.md", *(ROOT / "docs").rglob("*.md"))
)
PROGRAM = "nnunet-prompt"
_BLOCK = re.compile(r"^```.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_OPTION = re.compile(r"(?<!\S)(--?[a-zA-Z][\w-]*)")
# Options in code that belong to other programs, or to nnUNetv2_train and nnUNetv2_predict.
OTHERS = {
    "--entrypoint",
    "--nthreads",
    "-n",
    "-np",
    "-npfp",
    "-plans_name",
    "--no_pp",
    "--host",
    "--fold",
    "--model-dir",
    "--device",
    "--port",
}


def code_of(page: str) -> Iterator[str]:
    """Each line of code of a page: lines of blocks, continued ones joined, and code within sentences."""
    text = (ROOT / page).read_text("utf-8")
    for block in _BLOCK.findall(text):
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()
    yield from _CODE.findall(_BLOCK.sub("", text))


def commands_in(line: str) -> Iterator[list[str]]:
    """The words of each call of our program in a line, up to the end of that command."""
    for rest in re.split(rf"(?<![\w./-]){PROGRAM}(?= )", line.split("  #")[0])[1:]:
        command = re.split(r"[;&|)<>]|\"\)|'\)", rest)[0].replace("...", "")
        yield shlex.split(command.replace("'", "").replace('"', ""))


def parser_of(words: list[str]) -> tuple[argparse.ArgumentParser, str]:
    """The parser that a command ends at, and a word for a verb that does not exist, else ""."""
    parser = build_parser()
    for word in words:
        (subs, *_) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)] or [
            None
        ]
        if subs is None:
            return parser, ""
        if word.startswith("$"):  # one of them, as in a loop
            parser = list(subs.choices.values())[-1]
        elif word in subs.choices:
            parser = subs.choices[word]
        elif re.fullmatch(r"[a-z][a-z-]+", word):
            return parser, word
        else:
            return parser, ""
    return parser, ""


def unknown_in(words: list[str]) -> list[str]:
    """Words of a command that the program does not know: a verb, or options."""
    first = words[0] if words else ""
    if not re.fullmatch(r"[a-z][a-z-]+", first):
        return []  # such as VERB
    if first == "convert" and "amos" in words:  # the page's example of a converter from elsewhere
        return []
    parser, unknown = parser_of(words)
    options = {o for a in parser._actions for o in a.option_strings}
    given = [w.split("=")[0] for w in words if _OPTION.fullmatch(w.split("=")[0])]
    return ([unknown] if unknown else []) + [o for o in given if o not in options]


@each("page", PAGES)
def test_commands_exist_with_their_options(page: str) -> None:
    wrong = [
        f"{' '.join(words)}: {unknown}"
        for line in code_of(page)
        for words in commands_in(line)
        if (unknown := unknown_in(words))
    ]
    assert wrong == []


def all_options() -> set[str]:
    found: set[str] = set()
    waiting = [build_parser()]
    while waiting:
        for action in waiting.pop()._actions:
            found.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                waiting += action.choices.values()
    return found


@each("page", PAGES)
def test_options_within_sentences_exist(page: str) -> None:
    """`--no-grow` in a sentence is an option of some verb."""
    text = _BLOCK.sub("", (ROOT / page).read_text("utf-8"))
    named = {
        o for code in _CODE.findall(text) if code.startswith("-") for o in _OPTION.findall(code)
    }
    assert named - all_options() - OTHERS == set()


@each("page", PAGES)
def test_commands_of_nnunet_exist(page: str) -> None:
    known = {e.name for e in importlib.metadata.entry_points(group="console_scripts")}
    text = (ROOT / page).read_text("utf-8")
    assert set(re.findall(r"\bnnUNetv2_\w+", text)) - known == set()


def test_every_verb_stands_in_a_page() -> None:
    named = {w[0] for page in PAGES for line in code_of(page) for w in commands_in(line) if w}
    within = {
        c.split()[0]
        for page in PAGES
        for c in _CODE.findall((ROOT / page).read_text("utf-8"))
        if c.split()
    }
    (verbs,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert [verb for verb in verbs.choices if verb not in named | within] == []


def test_every_action_of_weights_stands_in_a_page() -> None:
    code = "\n".join(line for page in PAGES for line in code_of(page))
    (verbs,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    parser = verbs.choices["weights"]
    (actions,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert "publish" in actions.choices
    assert [a for a in actions.choices if not re.search(rf"weights {a}(?![\w-])", code)] == []


def test_unknown_words_are_found() -> None:
    (words,) = commands_in("nnunet-prompt predict -i A --no-such -m M  # -x")
    assert unknown_in(words) == ["--no-such"]
    (words,) = commands_in('eval "$(nnunet-prompt enf)"')
    assert unknown_in(words) == ["enf"]
    (words,) = commands_in("nnunet-prompt weights adopt SOURCE -d 5")
    assert unknown_in(words)[0] == "adopt"
