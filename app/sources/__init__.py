"""Where a ticket's Cc list is: each source, and the search through those that are configured.

A source answers with a list, which may be empty (it proves that nobody was copied), or not at all.
The first answer ends the search; CC_SOURCES_MERGE joins all of them.
"""

from app.sources.found import Found
from app.sources.search import REREADS, Search, comes_by_mail, find_list, next_reading, with_earlier

__all__ = [
    "REREADS",
    "Found",
    "Search",
    "comes_by_mail",
    "find_list",
    "next_reading",
    "with_earlier",
]
