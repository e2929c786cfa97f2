"""The content of a checkpoint: the network, its parts by name, its capability, its provenance, its adapters."""
