"""Learns a small adapter for new structures from one to ten labelled cases; see `learn.run`."""
