"""Figures of the running system, as JSON lines: `python -m benchmarks [name…]`."""
