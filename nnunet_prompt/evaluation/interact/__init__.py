"""Closed-loop evaluation: a simulated user looks at the mask, prompts where it is wrong, and looks again."""
