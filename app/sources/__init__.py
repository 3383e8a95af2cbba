"""Where a ticket's Cc list is: each source, and the search through those that are configured.

A source answers with a list or not at all. An empty list proves that nobody was copied. The first
list ends the search; CC_SOURCES_MERGE joins the lists of all sources.
"""

from app.sources.found import Found
from app.sources.search import REREADS, Search, comes_by_mail, find_list, next_reading, with_earlier
from app.sources.window import Position

__all__ = [
    "REREADS",
    "Found",
    "Position",
    "Search",
    "comes_by_mail",
    "find_list",
    "next_reading",
    "with_earlier",
]
