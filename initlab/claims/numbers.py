"""Numbers and intervals as text."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float | None) -> str:
    """Four significant digits, with a real minus sign; a dash for what is no number.

    >>> number(-0.30103), number(1234567.0), number(None)
    ('−0.301', '1.235e+06', '–')
    """
    return "–" if value is None else f"{value:.4g}".replace("-", "−")


def bounds(interval: Sequence[float | None] | None) -> str:
    """An interval in brackets, or nothing."""
    return f"[{number(interval[0])}, {number(interval[1])}]" if interval else ""
