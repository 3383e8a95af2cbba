"""`python -m app`: the same as `autotask-cc`."""

from app.cli import main

main()
