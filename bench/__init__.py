"""Measurements to run by hand: bench/README.md."""
