"""One call, one folder: what it is made from, and what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nnunet_prompt.cli import main as cli
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.networks.provenance import UNKNOWN_LICENCE, Origin
from nnunet_prompt.networks.spatial_adapter import add_spatial_adapter
from nnunet_prompt.weights.export import Exported, ExportOptions, export_model
from tests.helpers.each import each
from tests.helpers.exports import ORIGIN, TABLE, new_network, servable_plans, write_model
from tests.helpers.models import hand_made_dataset_json

PLANS = servable_plans(patch=(8, 12, 16))


@pytest.mark.parametrize("form", ["nninteractive", "nnunet"])
class TestBoth:
    def test_the_licence_of_the_source_is_carried(self, form: Any, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=PLANS, origins=(ORIGIN,))
        written = export_model(model, tmp_path / "theirs", form)
        assert (written.folder, written.licence) == (tmp_path / "theirs", "CC BY-NC-SA 4.0")
        lines = (tmp_path / "theirs" / "LICENSE").read_text().splitlines()
        assert lines[0] == "CC BY-NC-SA 4.0"
        assert "Made from toy v1 (nninteractive), licence: CC BY-NC-SA 4.0, sha256 ab12" in lines

    def test_the_licence_of_the_owner_comes_second(self, form: Any, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=PLANS, origins=(ORIGIN,))
        options = ExportOptions(licence="CC BY 4.0")
        written = export_model(model, tmp_path / "theirs", form, options=options)
        assert written.licence == "CC BY-NC-SA 4.0 and CC BY 4.0"

    def test_no_licence_is_said_to_be_unknown(self, form: Any, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=PLANS)
        export_model(model, tmp_path / "theirs", form)
        assert (tmp_path / "theirs" / "LICENSE").read_text().startswith(f"{UNKNOWN_LICENCE}\n")

    def test_a_folder_that_is_there_is_left_alone(self, form: Any, tmp_path: Path) -> None:
        """Before the model is read: it may take a while to read it."""
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "x").touch()
        with pytest.raises(ModelError, match="exists already"):
            export_model(tmp_path / "nowhere", tmp_path / "theirs", form)

    def test_no_model(self, form: Any, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"prompt_capability\.json: not found"):
            export_model(tmp_path / "nowhere", tmp_path / "theirs", form)
        model = write_model(tmp_path / "ours", plans=PLANS)
        options = ExportOptions(checkpoint="checkpoint_best.pth")
        with pytest.raises(ModelError, match=r"no fold holds checkpoint_best\.pth"):
            export_model(model, tmp_path / "theirs", form, options=options)
        with pytest.raises(ModelError, match=r"fold_3.*not found"):
            export_model(model, tmp_path / "theirs", form, options=ExportOptions(folds=(3,)))
        assert not (tmp_path / "theirs").exists()

    def test_another_checkpoint_gets_the_usual_name(self, form: Any, tmp_path: Path) -> None:
        model = write_model(tmp_path / "ours", plans=PLANS)
        best = model / "fold_0" / "checkpoint_best.pth"
        (model / "fold_0" / "checkpoint_final.pth").rename(best)
        options = ExportOptions(checkpoint="checkpoint_best.pth")
        export_model(model, tmp_path / "theirs", form, options=options)
        assert (tmp_path / "theirs" / "fold_0" / "checkpoint_final.pth").is_file()

    def test_a_spatial_adapter_is_refused(self, form: Any, tmp_path: Path) -> None:
        network = new_network(PLANS, hand_made_dataset_json(TABLE), "3d_fullres")
        add_spatial_adapter(network)
        model = write_model(tmp_path / "ours", plans=PLANS, weights=network.state_dict())
        with pytest.raises(ModelError) as caught:
            export_model(model, tmp_path / "theirs", form)
        message = str(caught.value)
        assert message.startswith(f"{model}: holds tensors that nnU-Net's network does not have")
        assert "spatial_adapter." in message
        assert message.endswith("so export a model that was tuned in another way")
        assert "\n" not in message

    def test_the_file_does_not_grow(self, form: Any, tmp_path: Path) -> None:
        """nnU-Net stores most tensors under several names; they stay one tensor."""
        model = write_model(tmp_path / "ours", plans=PLANS)
        export_model(model, tmp_path / "theirs", form)
        before, after = (
            (folder / "fold_0" / "checkpoint_final.pth").stat().st_size
            for folder in (model, tmp_path / "theirs")
        )
        assert after < 1.1 * before


def test_the_command(fake: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = Exported(Path("out"), "CC BY 4.0", ("look out",))
    call = fake("nnunet_prompt.weights.export.export_model", result)
    assert cli.main("weights export model -o out --format nninteractive".split()) == 0
    call.assert_called_once_with(
        Path("model"), Path("out"), "nninteractive", options=ExportOptions()
    )
    assert capsys.readouterr().out == "note: look out\nwrote out; licence: CC BY 4.0\n"


def test_the_command_with_everything(fake: Any) -> None:
    call = fake("nnunet_prompt.weights.export.export_model", Exported(Path("out"), "MIT", ()))
    line = "weights export model -o out --format nnunet -f 0 all -chk checkpoint_best.pth"
    assert cli.main([*line.split(), "--licence", "my own"]) == 0
    call.assert_called_once_with(
        Path("model"),
        Path("out"),
        "nnunet",
        options=ExportOptions((0, "all"), "checkpoint_best.pth", "my own"),
    )


@each("line", ["model -o out", "model --format nnunet", "model -o o --format x"])
def test_misuse(line: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["weights", "export", *line.split()])


def test_one_origin_of_several_folds_is_named_once(tmp_path: Path) -> None:
    origins = (ORIGIN, Origin("atlas", "nnunet", "MIT"))
    model = write_model(tmp_path / "ours", plans=PLANS, origins=origins, folds=(0, 1))
    written = export_model(model, tmp_path / "theirs", "nnunet")
    assert written.licence == "CC BY-NC-SA 4.0 and MIT"
    assert (tmp_path / "theirs" / "LICENSE").read_text().count("Made from") == 2
