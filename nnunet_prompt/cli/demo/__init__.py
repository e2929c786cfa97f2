"""From nothing to masks and a picture."""
