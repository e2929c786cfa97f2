"""Python, the packages and the devices of this installation."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from nnunet_prompt import __version__
from nnunet_prompt.cli.doctor.check import Check

DISTRIBUTION = "nnunet-prompt"
REINSTALL = "run `pip install --upgrade nnunet-prompt` in this environment"


def python() -> list[Check]:
    """The version of this package, of Python and of the system, with processors and memory."""
    from nnunet_prompt.io.resources import container_limits

    limits = container_limits()
    memory = "unknown" if limits.memory is None else f"{limits.memory / 2**30:.1f} GiB"
    fits = (3, 10) <= sys.version_info[:2] <= (3, 13)
    return [
        Check("nnunet_prompt", "ok", __version__),
        Check(
            "Python",
            "ok" if fits else "broken",
            f"{platform.python_version()} ({sys.executable})",
            "" if fits else "nnunet_prompt needs Python 3.10 to 3.13",
        ),
        Check("system", "ok", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Check("processors and memory", "ok", f"{limits.cpus}, {memory}"),
    ]


def packages() -> list[Check]:
    """Each package that this one needs, with torch: its version, and whether that is one we take."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        needed = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return [Check(DISTRIBUTION, "broken", "not installed, only on the path", REINSTALL)]
    wanted = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = []
    for one in (*wanted, Requirement("torch"), Requirement("batchgeneratorsv2")):
        try:
            has = version(one.name)
        except PackageNotFoundError:
            found.append(Check(one.name, "broken", "not installed", REINSTALL))
            continue
        fits = one.specifier.contains(has, prereleases=True)
        text = has if fits else f"{has}, expected {one.specifier}"
        found.append(Check(one.name, "ok" if fits else "broken", text, "" if fits else REINSTALL))
    return found


def devices() -> list[Check]:
    """The CPU and each accelerator that torch sees; of each, whether it adds two numbers."""
    import torch

    found = [_tried("cpu", f"{torch.get_num_threads()} threads")]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(number)
        text = f"{about.name}, {about.total_memory / 2**30:.1f} GiB, CUDA {torch.version.cuda}"
        found.append(_tried(f"cuda:{number}", text))
    if torch.backends.mps.is_available():
        found.append(_tried("mps", "Metal"))
    if len(found) == 1 and torch.version.cuda and Path("/dev/nvidia0").exists():
        advice = "update the driver, or install a torch for its CUDA version"
        found.append(Check("cuda", "warning", "a GPU that torch does not reach", advice))
    return found


def _tried(name: str, about: str) -> Check:
    import torch

    try:
        if float((torch.ones(2, device=name) + 1).sum()) != 4.0:
            raise RuntimeError("1 + 1 is not 2")
    except Exception as error:  # drivers raise what they like
        text = f"{about}; does not compute ({' '.join(str(error).split())[:200]})"
        return Check(name, "broken", text, "use another with -device")
    return Check(name, "ok", about)


def plugins_found() -> list[Check]:
    """Each entry point of another package, imported once."""
    from nnunet_prompt.common.plugins import Group, plugins

    groups: tuple[Group, ...] = ("converters", "metrics", "prompt_readers")
    every = [one for group in groups for one in plugins(group)]
    return [*map(_loaded, every)] or [Check("plugins", "ok", "none installed")]


def _loaded(plugin: object) -> Check:
    from nnunet_prompt.common.errors import NNUNetPromptError
    from nnunet_prompt.common.plugins import Plugin

    assert isinstance(plugin, Plugin)
    name = f"plugin {plugin.name}"
    try:
        plugin.load()
    except NNUNetPromptError as error:
        return Check(name, "broken", str(error), "update or uninstall the package")
    return Check(name, "ok", plugin.title)


def every_import() -> Iterator[tuple[str, str]]:
    """The modules that every prediction imports, with the distribution of each."""
    yield from (
        ("torch", "torch"),
        ("nnunetv2", "nnunetv2"),
        ("nnunetv2.training.nnUNetTrainer.nnUNetTrainer", "nnunetv2"),
        ("SimpleITK", "SimpleITK"),
        ("nibabel", "nibabel"),
    )


def imports() -> list[Check]:
    """Whether what is installed can be imported; torch and torchvision of different builds, for one, cannot."""
    from importlib import import_module

    found = []
    for module, distribution in every_import():
        try:
            import_module(module)
        except Exception as error:
            text = f"{module}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            found.append(Check("imports", "broken", text, f"install {distribution} again"))
    return found or [Check("imports", "ok", ", ".join(m for m, _ in every_import()))]
