"""Widgets that serve both a notebook with a kernel and a static page without one."""

from initlab.live.frames import linked

__all__ = ["linked"]
