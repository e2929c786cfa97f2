"""What is in a checkpoint: the network, its parts by name, what it answers to, where it comes from, its adapters."""
