"""Ending contacts that we created when nothing needs them any more.

What is to be done next is decided by app/ending.py on a fresh reading; it is announced, done, and
read again. Killed anywhere, the next pass goes on from what is there.
"""

from app.retire.chore import run
from app.retire.one import Ended, Retiring

__all__ = ["Ended", "Retiring", "run"]
