"""The converter of one CARE task, as a function, as a script and as `nnunet-prompt convert`.

A task's module examines its download case by case; everything else is the same for all tasks and lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_prompt.data.care_labels import Task, table_for
from nnunet_prompt.data.raw import RawTarget

from .command_line import care_options, care_parser, run_care
from .download import DEFAULTS, CareOptions
from .inspect import Examined, write_examined


def _one_image(options: CareOptions) -> tuple[str, ...]:
    return ("image",)


@dataclass(frozen=True, slots=True)
class Converter:
    """The converter of one task."""

    task: Task
    name: str  # of the data set, unless another one is given
    releases: str  # of the download that it reads, for its help
    examine: Callable[[Path, CareOptions], Iterator[Examined]]
    channels: Callable[[CareOptions], tuple[str, ...]] = _one_image

    def convert(
        self,
        source: Path,
        dataset_id: int,
        *,
        name: str | None = None,
        options: CareOptions = DEFAULTS,
    ) -> Path:
        """Writes all labelled cases as nnU-Net raw data and returns the folder.

        Raises `DatasetError` for a download that is not in the documented form (unless `options.leave_out`), for two
        copies of a file, and everything that `write_raw_dataset` raises.
        """
        channels = self.channels(options)
        target = RawTarget(dataset_id, name or self.name, channel_names=channels)
        examined = self.examine(source, options)
        table = table_for(self.task)
        return write_examined(examined, target, table=table, leave_out=options.leave_out)

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Runs the command line; returns the exit code."""
        summary = f"{self.name} ({self.releases}) to nnU-Net raw data"
        args = care_parser(summary, self.task).parse_args(arguments)
        options = care_options(args)
        return run_care(
            args,
            lambda: self.examine(args.source, options),
            lambda: self.convert(args.source, args.dataset_id, name=args.name, options=options),
        )
