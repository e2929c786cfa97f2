"""Prompt files of every tool, and what the coordinates of a prompts.json mean."""
