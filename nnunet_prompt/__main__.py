"""`python -m nnunet_prompt` is `nnunet-prompt`."""

from __future__ import annotations

import sys

from nnunet_prompt.cli.main import program

if __name__ == "__main__":  # processes that nnU-Net spawns import this file again
    sys.exit(program())
