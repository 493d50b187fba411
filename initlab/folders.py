"""Folders of the user's: those that environment variables name, else the platform's cache."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import platformdirs


def named(variable: str, name: str) -> Path:
    """The folder that an environment variable names, else one in the cache.

    Args:
        variable: of the environment; `~` in it is the user's home.
        name: of the folder in the cache.

    Returns:
        Its absolute path. It need not be there.

    Raises:
        OSError: for `~` where there is no home, and as `cache` does.
    """
    chosen = os.environ.get(variable)
    if not chosen:
        return cache() / name
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError:
        reason = f"{variable} begins with ~, but this user has no home; give its whole path"
        raise FileNotFoundError(errno.ENOENT, reason, chosen) from None


def cache() -> Path:
    """Where this package keeps what it has downloaded and computed.

    The platform's cache folder. A user without a home has one among the temporary files, open to
    no one else, which may be gone when the machine starts again.

    Returns:
        Its absolute path. It need not be there.

    Raises:
        PermissionError: where somebody else has made that folder, or can write to it.
    """
    try:
        found = Path(platformdirs.user_cache_dir("initlab"))
    except RuntimeError:
        return _temporary()
    # Older versions of platformdirs leave the ~ of a user without a home.
    return found if found.is_absolute() else _temporary()


def is_full(error: OSError) -> bool:
    """Whether what the system says is that a disk is full, or a user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_temporary(folder: Path) -> bool:
    """Whether a folder lies in the cache of a user without a home."""
    return hasattr(os, "getuid") and folder.is_relative_to(_place())


def _place() -> Path:
    return Path(tempfile.gettempdir(), f"initlab-{os.getuid()}").absolute()


def _temporary() -> Path:
    place = _place()
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or others:
        reason = "it is not this user's alone; name folders with INITLAB_STORE and INITLAB_DATA"
        raise PermissionError(errno.EACCES, reason, str(place))
    return place
