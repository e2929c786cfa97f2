"""`submit --form autopet`: rounds of autoPET's interactive task, an automatic mask and then scribbles that correct it.

    /input/images/ct/<uuid>.mha, /input/images/pet/<uuid>.mha
    /input/lesion-clicks.json                                   none, or no points in it: the first round
    /input/images/previous-segmentation/<uuid>.mha              the mask of the round before, where the platform has it
    /output/images/tumor-lesion-segmentation/<uuid>.mha

It is a job of Grand Challenge without inputs.json. With a state folder that outlives the call (`rounds`), each round
corrects the mask of the round before; without one, that of the automatic prediction.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.challenge.forms.grand_challenge import Folders, submit_job
from nnunet_prompt.challenge.forms.inputs import (
    INPUTS_FILE,
    SocketValue,
    find_inputs,
    read_inputs,
)
from nnunet_prompt.challenge.forms.sockets import Sockets
from nnunet_prompt.challenge.submit import DEFAULTS, SubmitOptions

if TYPE_CHECKING:
    from nnunet_prompt.inference.options import PredictOptions

NAME = "autopet"


def submit_autopet(
    folders: Folders, *, options: PredictOptions, submission: SubmitOptions = DEFAULTS
) -> int:
    """Answers one round and returns 1 if it is degraded, else 0; raises like `submit_grand_challenge`."""
    return submit_job(folders, NAME, read_round, options=options, submission=submission)


def read_round(folder: Path, sockets: Sockets) -> list[SocketValue]:
    """The sockets of a round, of inputs.json where the platform writes one."""
    if (folder / INPUTS_FILE).exists():
        return read_inputs(folder, sockets)
    return find_inputs(folder, sockets)
