"""Files in and out: images, label maps, prompts, JSON, and how they are written."""
