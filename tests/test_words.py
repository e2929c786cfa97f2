"""The words that users read: help texts, messages, README and docs keep to the glossary of CONTRIBUTING.md.

`AVOID` is the right-hand column of the glossary, one pattern per row. A message is every string with a blank in it
that is no docstring: raised, logged, printed or written to a report. Docstrings and comments keep to those rows whose
words mean nothing else there (`IN_PROSE`).
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from nnunet_prompt.cli.main import build_parser
from tests.helpers.each import each

ROOT = Path(__file__).parents[1]

# What to write -> what to avoid. Not searched for: "reads" (a file is read everywhere), the option `--no-grow`, the
# stem as nnU-Net and MultiTalent call the first convolution, and names without a blank, such as `rehearsal.json`, which
# finds the folders that are already written.
AVOID = {
    "report, log, state": r"\b(tell|tells|telling|told|say|says|saying|said)\b",
    "repair, repaired, correct": r"\bmend(s|ed|ing)?\b",
    "resume, continue": r"\b(go|goes|going|went) on\b",
    "existing masks are kept": r"\bthat (is|are|was|were) there\b",
    "around": r"\bround\b",
    "tiles added where the mask touches the border": r"(?<!-)\b(grow|grows|growth|grown)\b",
    "trainer": r"\brecipes?\b",
    "reorient": r"\bturn(s|ed|ing)?\b",
    "same geometry, no overlap": r"\b(lie|lies|lay|lying) on\b|\b(on|to) one grid\b|\bapart\b",
    "infer the coordinate convention": r"\b(settle|settles|settled|settling|votes?|voted|readings?)\b",
    "compressed": r"\b(packed|packs)\b",
    "reference, ground truth": r"(?<!ground )\btruth\b",
    "synthetic, generated": r"\b(made-up|drawn)\b|\bdraws? (phantom|other)",
    "mock challenge data": r"\brehears(e|es|ed|al|als)\b",
    "inject a defect": r"\bspoil(s|t|ed|ing)?\b",
    "annotates": r"\b(teach|teaches|teaching|taught)\b|\blearnt\b",
    "ignores prompts": r"\bdeaf\b",
    "prompt input channels of the first convolution": r"\bprompt columns?\b|\bof the stem\b",
    "newly initialised head": r"\bfresh\b",
    "export": r"\b(give|gives|gave|given|giving)\b[^.;:]{0,40}\bback\b",
    "not a checkpoint, undocumented": r"(?<!there )\b(is|are|was|were) no\b(?! longer)"
    r"|\b(nobody|somebody|whoever)\b",
    "unexpected file": r"\bstrangers?\b",
    "validate, check": r"\blook(s|ed|ing)? over\b",
}
# In docstrings and comments the others have a second meaning: a round end, a random number that is drawn, a mask that
# grows, two heads that are kept apart.
IN_PROSE = (
    "report, log, state",
    "repair, repaired, correct",
    "resume, continue",
    "trainer",
    "reorient",
    "mock challenge data",
    "inject a defect",
    "annotates",
    "ignores prompts",
    "prompt input channels of the first convolution",
    "newly initialised head",
    "export",
    "unexpected file",
    "validate, check",
)
PROSE = re.compile("|".join(f"(?:{AVOID[row]})" for row in IN_PROSE), re.IGNORECASE)
PATTERN = re.compile("|".join(f"(?:{p})" for p in AVOID.values()), re.IGNORECASE)

DOCUMENTS = (
    "README.md",
    "container/README.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")),
)


def found_in(text: str, pattern: re.Pattern[str] = PATTERN) -> list[str]:
    """The words to avoid in a text, each with its surroundings."""
    text = " ".join(text.split())
    return [text[max(0, m.start() - 40) : m.end() + 40] for m in pattern.finditer(text)]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser and all parsers below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from parsers(sub)


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each string with a blank that is no docstring; values in an f-string become {}."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values if isinstance(part, ast.Constant))
            texts = [str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values]
            yield node.lineno, "".join(texts)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in skipped
        ):
            if " " in node.value.strip():
                yield node.lineno, node.value


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring and comment, without `code` and examples."""
    source = path.read_text(encoding="utf-8")
    texts = [
        (node.lineno, node.value.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    texts += [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for line, text in texts:
        yield line, re.sub(r"`[^`]*`|^\s*>>>.*$", "``", text, flags=re.MULTILINE)


MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for top in ("nnunet_prompt", "dataset_conversion", "trainers")
    for path in (ROOT / top).rglob("*.py")
)


@each(
    "kept",
    ["the ground truth", "--no-grow", "there is no file", "rounded", "no longer", "gives masks"],
)
def test_what_is_not_meant_is_not_found(kept: str) -> None:
    assert found_in(kept) == []


def test_the_table_of_contributing_is_searched_for() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| write | not |\n|---|---|\n")[2].partition("\n\n")[0]
    avoided = re.findall(r"\| ([^|]+) \|$", re.sub(r" \(.*?\)", "", table), re.MULTILINE)
    phrases = {phrase for row in avoided for phrase in re.split("[,;] ", row)} - {"reads"}
    assert len(avoided) == len(AVOID)
    assert [phrase for phrase in phrases if not found_in(phrase)] == []


def test_help_keeps_to_the_glossary() -> None:
    for parser in parsers(build_parser()):
        assert found_in(parser.format_help()) == [], parser.prog


def test_every_verb_and_option_has_a_help_text() -> None:
    missing = [
        f"{parser.prog} {'/'.join(action.option_strings) or action.dest}"
        for parser in parsers(build_parser())
        for action in (*parser._actions, *verbs_of(parser))
        if not isinstance(action, argparse._SubParsersAction) and not (action.help or "").strip()
    ]
    assert missing == []


def verbs_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """One action for each verb of a parser, whose help is the line in the list of verbs."""
    return [
        verb
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for verb in action._choices_actions
    ]


@each("module", MODULES)
def test_messages_keep_to_the_glossary(module: str) -> None:
    found = [
        f"{module}:{line}: {hit}"
        for line, text in messages(ROOT / module)
        for hit in found_in(text)
    ]
    assert found == []


@each("module", MODULES)
def test_docstrings_and_comments_keep_to_the_glossary(module: str) -> None:
    found = [
        f"{module}:{line}: {hit}"
        for line, text in prose(ROOT / module)
        for hit in found_in(text, PROSE)
    ]
    assert found == []


def test_words_of_docstrings_and_comments_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        '"""What it says."""\nx = 1  # mended\n\n\ndef f():\n    """`told`\n\n    >>> said = 1\n    """\n'
    )
    hits = [(line, found_in(text, PROSE)) for line, text in prose(tmp_path / "a.py")]
    assert hits == [(1, ["What it says."]), (6, []), (2, ["# mended"])]


@each("document", DOCUMENTS)
def test_documents_keep_to_the_glossary(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = [hit for paragraph in text.split("\n\n") for hit in found_in(paragraph)]
    assert found == []
