"""Training of adapters at sites that may not share their data: what is sent, how it is averaged, and what it costs."""
