"""Measurements that are run by hand: bench/README.md."""
