"""Claims: what a source says, what was measured here, and a verdict that code gives.

A claim is judged by checks, each a number with what is wanted of it. All hold: *reproduced*.
Some hold: *partly*. None: *not reproduced*. No person writes a verdict down.
"""

from __future__ import annotations

from initlab.claims.file import FILE, collect, publish, published
from initlab.claims.intervals import interval, means, share, within
from initlab.claims.numbers import bounds, number
from initlab.claims.scorecard import MIME, Scorecard, measured, table, text
from initlab.claims.verdicts import NOT, PARTLY, REPRODUCED, UNTESTED, VERDICTS, Check, Claim

__all__ = [
    "FILE",
    "MIME",
    "NOT",
    "PARTLY",
    "REPRODUCED",
    "UNTESTED",
    "VERDICTS",
    "Check",
    "Claim",
    "Scorecard",
    "bounds",
    "collect",
    "interval",
    "means",
    "measured",
    "number",
    "publish",
    "published",
    "share",
    "table",
    "text",
    "within",
]
