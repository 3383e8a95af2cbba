"""Imported once by the process that all others are forked from."""

from bench.chaos.child import make_short

make_short()
