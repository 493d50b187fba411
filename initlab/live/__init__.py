"""Live sections: in a notebook the kernel trains, on a static page the page itself does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initlab.live.widget import Live

__all__ = ["Live"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: it brings torch.
    if name == "Live":
        from initlab.live.widget import Live

        return Live
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
