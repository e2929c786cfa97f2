"""Makes what is uploaded to Grand Challenge beside the image, and a job to try it with.

    python container/pack_job.py MODEL TARGET [--sockets FILE] [--form FORM] [--image NAME]

    TARGET/model.tar.gz               the weights, to upload under Algorithm > Models
    TARGET/model/                     the same, unpacked, as the platform mounts it at /opt/ml/model
    TARGET/test/input/interf0/        a job: inputs.json, a phantom for each image socket, prompts
    TARGET/do_test_run.sh             runs the image on it, without network
    TARGET/do_save.sh                 saves the image for the upload
    TARGET/README.md                  how to upload it

Equal models make equal tarballs. Needs the package; the model is not run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_prompt.challenge.forms.inputs import INPUTS_FILE, write_inputs
from nnunet_prompt.challenge.forms.sockets import SOCKETS_FILE, InputSocket, Sockets, sockets_for
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.data.structures import StructureTable, structures_from_dataset_json
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.io.nifti import NiftiVolume, read_nifti
from nnunet_prompt.io.save_mask import save_mask

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # where the script is loaded, not run
from stage_model import StageError, stage  # noqa: E402

NAMES = ("README.md", "do_test_run.sh", "do_save.sh")
FORM = "grand-challenge"
MARK = "upload-pack.json"  # in TARGET: so only what this made is removed again


def pack(
    model: Path, target: Path, *, sockets: Path | None = None, form: str = FORM, image: str
) -> str:
    """Makes `target` anew and returns the hash that names the staged model.

    Raises `NNUNetPromptError` for a model or a sockets file that cannot be used, and for a target with other things.
    """
    chosen = sockets_for(form, sockets, (model,))
    if target.exists() and any(target.iterdir()) and not (target / MARK).is_file():
        raise NNUNetPromptError(
            f"{target}: holds other things than an upload pack; name another folder"
        )
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    write_json(target / MARK, {"form": form, "image": image})
    digest = stage(model, target / "model")
    write_json(target / "model" / SOCKETS_FILE, chosen.model_dump(exclude_defaults=True))
    write_tarball(target / "model", target / "model.tar.gz")
    description = json.loads((model / "dataset.json").read_text(encoding="utf-8"))
    channels = len(description["channel_names"])
    write_test_job(
        target / "test" / "input" / "interf0",
        chosen,
        table=structures_from_dataset_json(description),
        channels=channels,
    )
    slugs = ", ".join(f"`{slug}`" for slug in chosen.inputs)
    outputs = "\n".join(
        f"- `{s}`: `/output/{o.target(s, '<image>')}`" for s, o in chosen.outputs.items()
    )
    words = {"@IMAGE@": image, "@SHA256@": digest, "@INPUTS@": slugs, "@OUTPUTS@": outputs}
    for name in NAMES:
        text = (HERE / FORM / name).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        (target / name).write_text(text, encoding="utf-8")
        (target / name).chmod(0o755 if name.endswith(".sh") else 0o644)
    return digest


def write_tarball(folder: Path, target: Path) -> None:
    """A gzip-compressed tarball of what a folder holds, without owners and times."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)


def write_test_job(folder: Path, sockets: Sockets, *, table: StructureTable, channels: int) -> None:
    """A job with a phantom heart for the images that a model of `channels` takes, and a point in its middle.

    Of several image sockets that can hold a channel, the first is used.
    """
    from nnunet_prompt.phantom.heart import write_phantoms

    passing = folder / "passing"
    write_phantoms(passing, 1, part="test")
    volume = read_nifti(next((passing / "images").iterdir()))
    shutil.rmtree(passing)
    files: dict[str, Path] = {}
    for i, slug in enumerate(image_slugs(sockets, channels)):
        files[slug] = folder / "images" / slug / f"0000000{i}-test.mha"
        files[slug].parent.mkdir(parents=True)
        save_mask(np.clip(volume.array, 0, None).astype(np.uint16), files[slug], like=volume)
    note = next(((s, o) for s, o in sockets.inputs.items() if o.role == "annotation"), None)
    if note is not None:
        slug, socket = note
        files[slug] = folder / f"{slug}.json"
        write_json(files[slug], middle_point(volume, socket, table))
    write_json(folder / INPUTS_FILE, write_inputs(folder, files))


def image_slugs(sockets: Sockets, channels: int) -> list[str]:
    """The slugs of the images of a test job. Raises `NNUNetPromptError` if the sockets have too few images."""
    images = {s: o for s, o in sockets.inputs.items() if o.role == "image" and not o.sequence}
    by_channel: dict[int, str] = {}
    for slug, socket in images.items():
        by_channel.setdefault(socket.channel, slug)
    found = [by_channel[channel] for channel in sorted(by_channel)][:channels]
    if len(found) < channels:
        raise NNUNetPromptError(
            f"the model takes {channels} image channels, the sockets have images for {len(found)}: give a sockets file,"
            " SOCKETS=FILE"
        )
    return found


def middle_point(volume: NiftiVolume, socket: InputSocket, table: StructureTable) -> dict[str, Any]:
    """An annotation with a point in the middle of an image, of a name that the socket or the model knows."""
    name = next(iter(socket.names), table.structures[0].name)
    middle = [float(n // 2) for n in volume.shape]
    if socket.space != "voxel":
        x, y, z = (volume.affine @ [*middle, 1.0])[:3].tolist()
        middle = [-x, -y, z] if socket.space == "LPS" else [x, y, z]
    point = {"name": name, "point": [round(v, 4) for v in middle]}
    version = {"major": 1, "minor": 0}
    return {"type": "Multiple points", "version": version, "points": [point]}


def main(argv: list[str] | None = None) -> int:
    """Packs, prints what was made and returns 0, or prints what is wrong and returns 1."""
    parser = argparse.ArgumentParser(description="Makes an upload for Grand Challenge.")
    parser.add_argument("model", type=Path, help="trained model: <trainer>__<plans>__<config>")
    parser.add_argument("target", type=Path, help="folder to make")
    parser.add_argument("--sockets", type=Path, help="sockets file (default: the package's)")
    parser.add_argument("--form", choices=(FORM, "autopet"), default=FORM, help="form of the jobs")
    parser.add_argument(
        "--image", default="nnunet-prompt:grand-challenge", help="name of the image"
    )
    args = parser.parse_args(argv)
    try:
        pack(args.model, args.target, sockets=args.sockets, form=args.form, image=args.image)
    except (NNUNetPromptError, StageError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    print(f"wrote {args.target}: read {args.target / 'README.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
