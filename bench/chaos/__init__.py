"""Chaos tests: real processes, a plan of faults drawn from a seed, and a verdict."""
