"""The buffer that carries licences, and the names of tensors in our checkpoints."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.provenance import (
    PROVENANCE_BYTES,
    Origin,
    Points,
    exported_origins,
    licence_notes,
    pack,
    points_of,
    provenance_of,
    sha256_of,
    unpack,
)
from nnunet_prompt.networks.tensor_names import (
    plain_names,
    rename_start,
    saved_name,
    stock_name,
    stock_names,
)
from tests.helpers.each import each

ORIGINS = (
    Origin("m/fold_0/c.pth", "nnunet_prompt", "Lizenz für alle", "ab" * 32),
    Origin("c.pth", "nninteractive", "CC BY-NC-SA 4.0"),
)


@each("origins", [(), ORIGINS[:1], ORIGINS])
def test_origins_go_through_a_buffer(origins: tuple[Origin, ...]) -> None:
    buffer = pack(origins)
    assert buffer.dtype == torch.uint8 and buffer.shape == (PROVENANCE_BYTES,)
    assert unpack(buffer) == origins
    assert provenance_of({"provenance": buffer}) == origins
    assert not origins or buffer.any()


POINTS = Points("gaussian", 2.5, "voxel")


@each("origins", [(), ORIGINS[:1]])
def test_points_go_through_the_same_buffer(origins: tuple[Origin, ...]) -> None:
    buffer = pack(origins, POINTS)
    assert buffer.shape == (PROVENANCE_BYTES,)
    assert points_of({"provenance": buffer}) == POINTS and unpack(buffer) == origins
    assert points_of({}) is None and points_of({"provenance": pack(())}) is None


def test_weights_of_nninteractive_know_its_points() -> None:
    assert points_of({"provenance": pack(ORIGINS)}) == Points(metric="voxel")
    assert points_of({"provenance": pack(ORIGINS[:1])}) is None
    assert points_of({"provenance": pack(ORIGINS, Points())}) == Points()  # stated


def test_points_in_words() -> None:
    assert str(Points()) == "edt, radius 4 voxels of the finest axis"
    assert str(POINTS) == "gaussian, radius 2.5 voxels along every axis"
    for wrong in ({"shape": "cube"}, {"radius": 0}, {"radius": float("nan")}, {"metric": "mm"}):
        with pytest.raises(ValueError, match="no such points"):
            Points(**wrong)


def test_what_an_export_says_beside_its_weights() -> None:
    listed = [asdict(origin) for origin in ORIGINS]
    assert exported_origins({"provenance": listed}) == ORIGINS
    assert exported_origins({}) == exported_origins({"provenance": "of someone else"}) == ()
    for damaged in ([1], [{"a": 1}]):
        with pytest.raises(ModelError, match="provenance: the list of that name"):
            exported_origins({"provenance": damaged})


def test_weights_without_a_buffer_have_no_origins() -> None:
    assert provenance_of({"encoder.weight": torch.zeros(2)}) == ()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="at most 4096; give a shorter text with --licence"):
        pack([Origin("c", "nnunet", "x" * PROVENANCE_BYTES)])


@each(
    "text",
    [
        b"{",
        b'[{"a": 1}]',
        b"[1]",
        b"\xff",
        b'{"a": 1}',
        b'{"origins": [], "points": {"radius": 0}}',
    ],
)
def test_a_damaged_buffer_says_so(text: bytes) -> None:
    buffer = pack(())
    buffer[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
    with pytest.raises(ModelError, match="provenance: the buffer of that name is damaged"):
        unpack(buffer)


def test_a_line_for_each_origin() -> None:
    assert licence_notes(()) == []
    assert licence_notes(ORIGINS[1:]) == [
        "these weights come from c.pth (nninteractive); its licence, which binds what is made from them:"
        " CC BY-NC-SA 4.0"
    ]


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    data = bytes(3 << 20)
    (tmp_path / "f").write_bytes(data)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_names_go_there_and_back() -> None:
    assert saved_name("decoder.seg_layers.1.bias") == "heads.1.bias"
    assert stock_name("heads.1.bias") == "decoder.seg_layers.1.bias"
    for name in ("encoder.stem.x", "decoder.stages.0.y", "provenance"):
        assert saved_name(name) == stock_name(name) == name
    assert stock_names({"heads.0.weight": 1, "provenance": 2, "encoder.a": 3}) == {
        "decoder.seg_layers.0.weight": 1,
        "encoder.a": 3,
    }


def test_the_start_of_names() -> None:
    weights = {"a.b": 1, "c": 2, "a.": 3}
    rename_start(weights, "a.", "x.y.")
    assert list(weights.items()) == [("c", 2), ("x.y.b", 1), ("x.y.", 3)]


def test_prefixes_of_wrappers_in_any_order() -> None:
    names = ("module._orig_mod.a.module.b", "_orig_mod.module.c", "d", "module.e")
    assert list(plain_names(dict.fromkeys(names, 0))) == ["a.module.b", "c", "d", "e"]
