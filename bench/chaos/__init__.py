"""Proof under fire: real processes, a plan of faults out of a seed, and a verdict."""
