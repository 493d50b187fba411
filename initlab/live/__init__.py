"""Widgets that serve both a notebook with a kernel and a static page without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from initlab.live.frames import linked

if TYPE_CHECKING:
    from initlab.live.widget import Live

__all__ = ["Live", "linked"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: it brings torch.
    if name == "Live":
        from initlab.live.widget import Live

        return Live
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
