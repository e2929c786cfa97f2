"""The report of an adaptation: what it did with every tensor, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nnunet_prompt.io.json_file import write_json

if TYPE_CHECKING:
    from rich.table import Table

    from nnunet_prompt.weights.source_model import SourceModel

Action = Literal["copied", "widened", "new", "unused"]
ACTIONS: tuple[Action, ...] = ("copied", "widened", "new", "unused")


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its name (the first, where it has several), what became of it, its shape and a remark."""

    name: str
    action: Action
    shape: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class AdaptReport:
    """The fate of every tensor, the plans it is for, and warnings."""

    source: SourceModel
    plans: str
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many tensors were copied, widened, new and unused."""
        found = Counter(entry.action for entry in self.entries)
        return {action: found[action] for action in ACTIONS}

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for `json.dump`."""
        return {
            "source": str(self.source.path),
            "family": self.source.family,
            "trainer": self.source.trainer,
            "origins": [asdict(origin) for origin in self.source.origins],
            "plans": self.plans,
            "counts": self.counts,
            "warnings": list(self.warnings),
            "tensors": [asdict(entry) for entry in self.entries],
        }

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_json())

    def table(self) -> Table:
        """The tensors in short: those copied or unused are counted, those changed or new are listed."""
        from rich.table import Table

        table = Table(title=f"{self.source.family}: {self.source.path.name}")
        for column in ("tensor", "", "shape", "remark"):
            table.add_column(column, overflow="fold")
        for entry in self.entries:
            if entry.action in ("widened", "new") or entry.note:
                shape = " x ".join(map(str, entry.shape))
                table.add_row(entry.name, entry.action, shape, entry.note)
        counts = ", ".join(f"{n} {action}" for action, n in self.counts.items())
        table.caption = counts
        return table
