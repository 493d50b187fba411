"""Numbers and intervals as text."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float) -> str:
    """Four significant digits, with a real minus sign.

    >>> number(-0.30103), number(1234567.0)
    ('−0.301', '1.235e+06')
    """
    return f"{value:.4g}".replace("-", "−")


def bounds(interval: Sequence[float] | None) -> str:
    """An interval in brackets, or nothing."""
    return f"[{number(interval[0])}, {number(interval[1])}]" if interval else ""
