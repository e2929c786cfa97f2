"""The page of the command line, made from its parsers: each verb, its usage and its options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass

from website.undocumented import Undocumented

HEAD = """# Command line

Made from the program itself. `nnunet-prompt VERB --help` prints the same. Options with one dash are nnU-Net's.

Exit codes: 0 done; 1 something that you can correct, with one line on stderr; 2 misuse; 130 stopped with Ctrl-C.
"""
ARGUMENTS = "| argument | is |\n|---|---|"


@dataclass(frozen=True, slots=True)
class Documented:
    """A parser with its words and, from the list of verbs above it, its summary."""

    words: str
    summary: str
    parser: argparse.ArgumentParser


def verbs_page(parser: argparse.ArgumentParser) -> str:
    """The page, in Markdown. Raises `Undocumented` for a verb or an argument without help text."""
    parts = [HEAD, "## Options of every verb {#common}\n", _table(parser.prog, _arguments(parser))]
    for verb in below(parser):
        parts += _section(verb)
    return "\n".join(parts) + "\n"


def below(parser: argparse.ArgumentParser) -> Iterator[Documented]:
    """The verbs of a parser, each before its own."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {one.dest: one.help or "" for one in action._choices_actions}
            for name, sub in action.choices.items():
                words = f"{parser.prog.split(' ', 1)[1]} {name}" if " " in parser.prog else name
                yield Documented(words, summaries.get(name, ""), sub)
                yield from below(sub)


def _section(verb: Documented) -> list[str]:
    if not verb.summary.strip():
        raise Undocumented(f"{verb.parser.prog}: the verb has no summary")
    nested = " " in verb.words
    level = "###" if nested else "##"
    anchor = verb.words.replace(" ", "-")
    parts = [
        f"\n{level} {verb.words} {{#{anchor}}}\n",
        f"{plain(verb.summary[0].upper() + verb.summary[1:])}.\n",
        f"```text\n{usage(verb.parser)}\n```\n",
    ]
    for group in verb.parser._action_groups:
        shown = [a for a in group._group_actions if _is_shown(a)]
        if shown:
            named = group.title not in ("positional arguments", "options", "optional arguments")
            parts += [f"**{group.title}**\n"] if named and group.title else []
            parts.append(_table(verb.parser.prog, shown) + "\n")
    return parts


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [a for a in parser._actions if _is_shown(a)]


def _is_shown(action: argparse.Action) -> bool:
    hidden = isinstance(action, (argparse._SubParsersAction, argparse._HelpAction))
    return not hidden and action.help != argparse.SUPPRESS


def _table(prog: str, actions: list[argparse.Action]) -> str:
    rows = []
    for action in actions:
        words = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        if not (action.help or "").strip():
            raise Undocumented(f"{prog}: {words} has no help text")
        value = f" {_value(action)}" if action.option_strings and action.nargs != 0 else ""
        needed = " Required." if action.required and action.option_strings else ""
        text = (action.help or "") % {"default": action.default, "prog": prog}
        shown = f"{words}{value}".replace("|", r"\|")
        rows.append(f"| `{shown}` | {plain(text)}.{needed} |")
    return "\n".join([ARGUMENTS, *rows])


def _value(action: argparse.Action) -> str:
    if action.metavar:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def usage(parser: argparse.ArgumentParser) -> str:
    """The usage line, wrapped alike on every terminal."""
    made = argparse.HelpFormatter(parser.prog, width=88)
    shown = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    made.add_usage(None, shown, parser._mutually_exclusive_groups)
    return made.format_help().strip()


def plain(text: str) -> str:
    """Text of a help as Markdown in a table: what is no code has no marks."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    marks = re.compile(r"([\\*_<>\[\]])")
    return "".join(
        part.replace("|", r"\|")
        if part.startswith("`")
        else marks.sub(r"\\\1", part).replace("|", r"\|")
        for part in parts
    )
