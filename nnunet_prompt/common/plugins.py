"""Plugins: entry points of other packages, which add to this one without a fork.

    nnunet_prompt.converters       NAME = "module:convert", for `nnunet-prompt convert NAME`
    nnunet_prompt.metrics          NAME = "module:metric", a column of every evaluation
    nnunet_prompt.prompt_readers   ENDING = "module:read", such as .abc, for `nnunet-prompt predict -p`

Nothing is imported before it is used. What is broken is reported in one line that names the distribution, and the rest
is not affected. docs/python.md has the signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from nnunet_prompt.common.errors import NNUNetPromptError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Group = Literal["converters", "metrics", "prompt_readers"]


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point: its name, and the distribution that it comes from."""

    name: str
    distribution: str  # name and version, such as "my-reader 1.2"
    entry: EntryPoint

    def load(self) -> Callable[..., Any]:
        """Imports it. Raises `NNUNetPromptError` in one line that names the distribution where that fails."""
        try:
            loaded = self.entry.load()
        except (Exception, SystemExit) as error:
            raise self.failure("cannot be imported", error) from error
        if not callable(loaded):
            raise NNUNetPromptError(
                f"{self.title}: expected a function, found {type(loaded).__name__}; update or uninstall the package"
            )
        return loaded  # type: ignore[no-any-return]

    def call(self, *given: Any, **named: Any) -> Any:
        """Imports and calls it; what it raises, but for our own errors, becomes one line as with `load`."""
        function = self.load()
        try:
            return function(*given, **named)
        except NNUNetPromptError:
            raise
        except (Exception, SystemExit) as error:
            raise self.failure("failed", error) from error

    @property
    def title(self) -> str:
        """The beginning of a message about it."""
        return f"{self.entry.group} {self.name!r} of the package {self.distribution}"

    def failure(self, what: str, error: BaseException) -> NNUNetPromptError:
        """The one line about an error that it raised."""
        said = " ".join(str(error).split())
        why = f"{type(error).__name__}: {said}" if said else type(error).__name__
        return NNUNetPromptError(f"{self.title}: {what} ({why}); update or uninstall the package")


@cache
def plugins(group: Group) -> tuple[Plugin, ...]:
    """The entry points of a group by name; of two with one name, the first on `sys.path`.

    Read once for each process; `plugins.cache_clear` looks again.
    """
    from importlib.metadata import entry_points

    found: dict[str, Plugin] = {}
    for entry in entry_points(group=f"nnunet_prompt.{group}"):
        distribution = entry.dist
        named = f"{distribution.name} {distribution.version}" if distribution else "unknown"
        found.setdefault(entry.name, Plugin(entry.name, named, entry))
    return tuple(found[name] for name in sorted(found))


def plugin(group: Group, name: str) -> Plugin:
    """The entry point of that name. Raises `NNUNetPromptError` where there is none."""
    found = next((one for one in plugins(group) if one.name == name), None)
    if found is None:
        raise NNUNetPromptError(f"{group}: no installed package has one called {name!r}")
    return found
