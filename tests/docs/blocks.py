"""Runs the blocks of a page as a reader would type them: bash and python, in order, in one folder.

A block ` ```bash serve ` starts a server: the caller uses it while it runs, and it is then stopped with Ctrl-C. Blocks
of other languages are shown, not run. Variables of bash, and the folder, last from block to block; python blocks are
programs of their own.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "bash serve", "python")
_FENCE = re.compile(r"^```([a-z]\S*(?: \S+)?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ADDRESS = re.compile(r"https?://127\.0\.0\.1:\d+/\S*")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page: what stands behind its three ticks, and its lines."""

    kind: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page that are run, in their order."""
    found = [Block(*match) for match in _FENCE.findall(page.read_text("utf-8"))]
    return [block for block in found if block.kind in RUN]


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader with an empty folder, which keeps the variables that the blocks set."""

    folder: Path
    variables: Mapping[str, str]

    def follow(self, page: Path, serve: Callable[[str], None] | None = None) -> None:
        """Runs all blocks of a page. `serve` gets the address that a served block prints.

        Fails with the block and the end of its output where a block fails.
        """
        for block in blocks_of(page):
            if block.kind == "bash serve":
                assert serve is not None, f"{page.name} serves something"
                self._serve(block, serve)
            else:
                self._run(block)

    def _run(self, block: Block) -> None:
        done = subprocess.run(
            self._command(block),
            cwd=self.folder,
            env=dict(self.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout[-3000:]}"

    def _serve(self, block: Block, serve: Callable[[str], None]) -> None:
        with subprocess.Popen(
            self._command(block, replaced=True),
            cwd=self.folder,
            env=dict(self.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as server:
            assert server.stdout is not None
            said = []
            try:
                for line in server.stdout:
                    said.append(line)
                    address = _ADDRESS.search(line)
                    if address:
                        serve(address[0])
                        break
                else:
                    raise AssertionError(f"{block.text}\n{''.join(said)[-3000:]}")
            finally:
                server.send_signal(signal.SIGINT)
                server.communicate(timeout=60)

    def _command(self, block: Block, *, replaced: bool = False) -> list[str]:
        if block.kind == "python":
            return [sys.executable, "-c", block.text]
        state = self.folder / ".variables"
        before = f"set -a; [ ! -e {state} ] || . {state}\n"
        last = "exec " if replaced else ""
        after = "" if replaced else f"\nexport -p > {state}"
        return ["bash", "-euo", "pipefail", "-c", f"{before}{last}{block.text}{after}"]
