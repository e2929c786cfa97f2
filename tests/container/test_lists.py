"""What the image installs: pinned, and without what only nnU-Net's trainer search needs."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.each import each

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"timm", "torchvision", "torch"}  # torch has lists of its own


def _read(name: str) -> dict[str, Requirement]:
    lines = (ROOT / "container" / name).read_text().splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(one.name): one for one in found}


def _asked_for(name: str) -> list[Requirement]:
    """What a package cannot do without."""
    found = [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return [one for one in found if one.marker is None]


@each("name", ["requirements.txt", "cli.txt", "torch-cpu.txt", "torch-cuda.txt"])
def test_every_package_is_pinned_and_listed_once(name: str) -> None:
    lines = (ROOT / "container" / name).read_text().splitlines()
    packages = [line for line in lines if not line.startswith(("#", "torch="))]
    for line in packages:
        assert re.fullmatch(r"[A-Za-z0-9-]+==[0-9.]+", line), line
    assert len(_read(name)) == len(packages) + name.startswith("torch")
    names = [line.split("==")[0].lower() for line in packages]
    assert names == sorted(names)


@each("name", ["nnunet-prompt", "nnunetv2"])
def test_the_pins_are_all_that_is_asked_for(name: str) -> None:
    pinned = _read("requirements.txt")
    asked_for = [one for one in _asked_for(name) if canonicalize_name(one.name) not in LEFT_OUT]
    assert len(asked_for) > 5
    for one in asked_for:
        (pin,) = pinned[canonicalize_name(one.name)].specifier
        assert one.specifier.contains(pin.version), one


def test_torch_has_lists_of_its_own_and_its_companions_are_left_out() -> None:
    listed = set(_read("requirements.txt"))
    assert not listed & {"torch", "timm", "torchvision", "huggingface-hub"}
    assert set(_read("torch-cpu.txt")) == {"torch"}
    assert {"torch", "triton", "nvidia-cudnn-cu13"} <= set(_read("torch-cuda.txt"))


@each(
    ("variant", "version", "fits"),
    [
        ("cpu", "2.13.0+cpu", True),
        ("cpu", "2.13.0", False),
        ("cpu", "2.13.0+cu126", False),
        ("cuda", "2.13.0", True),
        ("cuda", "2.13.0+cu126", False),
        ("cuda", "2.13.0+cpu", False),
    ],
)
def test_each_variant_takes_its_own_build_of_torch(variant: str, version: str, fits: bool) -> None:
    assert _read(f"torch-{variant}.txt")["torch"].specifier.contains(version) is fits


def test_the_package_itself_can_serve_pages() -> None:
    """What `view` asks for is listed for the image of the package, or for all of them."""
    listed = _read("requirements.txt") | _read("cli.txt")
    extra = [Requirement(line) for line in importlib.metadata.requires("nnunet-prompt") or []]
    served = [one for one in extra if one.marker and one.marker.evaluate({"extra": "view"})]
    assert {"starlette", "uvicorn"} <= {one.name for one in served}
    for one in served:
        for name in [one.name, *(r.name for r in _asked_for(one.name))]:
            assert canonicalize_name(name) in listed, name
