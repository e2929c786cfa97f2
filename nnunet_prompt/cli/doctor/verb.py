"""The verb: its arguments, the checks in their order, and how they are printed."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import warnings
from collections.abc import Sequence

from nnunet_prompt.cli.doctor.check import Check, Look, looked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="JSON, for programs and for issue reports"
    )
    parser.add_argument(
        "--no-self-test",
        dest="self_test",
        action="store_false",
        help="without the self-test, which predicts a phantom with a tiny network in about ten seconds",
    )


def run(args: argparse.Namespace) -> int:
    checks = diagnosis(self_test=args.self_test)
    print(as_json(checks) if args.json else as_text(checks))
    return 1 if any(check.status == "broken" for check in checks) else 0


def diagnosis(*, self_test: bool = True) -> list[Check]:
    """Every check in order. Raises nothing: what a check raises is broken, in its own line.

    What packages print meanwhile goes to stderr.
    """
    found: list[Check] = []
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, look in _looks(self_test):
            found += looked(name, look)
    return found


def _looks(self_test: bool) -> list[tuple[str, Look]]:
    from nnunet_prompt.cli.doctor import installation, places

    looks: list[tuple[str, Look]] = [
        ("Python", installation.python),
        ("packages", installation.packages),
        ("imports", installation.imports),
        ("devices", installation.devices),
        ("folders", places.folders),
        ("trainers", places.trainers),
        ("plugins", installation.plugins_found),
        ("disc", places.space),
    ]
    return [*looks, ("self-test", _self_test)] if self_test else looks


def _self_test() -> list[Check]:
    from nnunet_prompt.cli.doctor.self_test import self_test

    return self_test()


def as_json(checks: Sequence[Check]) -> str:
    """`{"form": 1, "ok": true, "checks": [{"name": ..., "status": ..., "found": ..., "advice": ...}]}`"""
    rows = [
        {"name": c.name, "status": c.status, "found": c.found, "advice": c.advice} for c in checks
    ]
    content = {"form": 1, "ok": all(c.status != "broken" for c in checks), "checks": rows}
    return json.dumps(content, indent=2)


def as_text(checks: Sequence[Check]) -> str:
    """A line per check, with what to do below those that are not as they should be, and a summary."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<8} {check.name:<{width}}  {check.found}")
        if check.status != "ok" and check.advice:
            lines.append(f"{'':<8} {'':<{width}}  -> {check.advice}")
    broken, warned = (sum(c.status == s for c in checks) for s in ("broken", "warning"))
    lines.append(f"{broken} broken, {warned} with a warning, of {len(checks)}")
    return "\n".join(lines)
