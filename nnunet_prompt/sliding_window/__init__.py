"""nnU-Net's sliding window, run only where prompts are."""
