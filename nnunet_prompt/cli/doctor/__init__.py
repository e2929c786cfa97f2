"""`nnunet-prompt doctor`: what this installation is, and whether it works."""
