"""What one process of pytest-xdist does without a break, when the tests are shared among some."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: Files of which the tests need the built site.
SITE = {f"tests/site/{name}.py" for name in ("test_browser", "test_csp", "test_live_book")}


#: Files that wait for others most of the time: for nodes of Ray, for processes that are killed.
WAITING = ("tests/test_cluster.py", "tests/test_batch.py", "tests/test_store_reliability.py")


def is_a_chapter(nodeid: str) -> bool:
    """Whether a test runs a whole chapter: the longest tests, on which those of the site wait."""
    return "::test_smoke_computes" in nodeid


def rank(nodeid: str) -> int:
    """Chapters begin, then what waits, so that nothing that is long comes last."""
    return 0 if is_a_chapter(nodeid) else 1 if nodeid.startswith(WAITING) else 2


class Units(LoadScopeScheduling):
    """By file, because of what a file sets up: a cluster, a server.

    Each chapter is a unit of its own, so that all processes run some. What needs the site is one
    unit, so that the others do not wait until it is built.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if is_a_chapter(nodeid):
            return nodeid
        return "site" if file in SITE else file
