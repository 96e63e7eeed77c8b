"""Benchmarks: `make bench` runs them all; each is also a program of its own, `python -m tests.bench.NAME`."""
