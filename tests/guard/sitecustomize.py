"""No network in tests: whatever would reach beyond this machine is refused.

The folder is first on PYTHONPATH while tests run (`tests/conftest.py`), so that Python imports this
file at the start of every process that a test starts, kernels and workers of pytest included.
"""

from __future__ import annotations

import os
import sys

# Every process starts with this: `socket`, `ipaddress` and `pathlib` would make it start slowly.
from _socket import AF_INET, AF_INET6, gethostname
from importlib.machinery import PathFinder

#: Events of Python's own auditing of which the second argument is an address.
REACHING = ("socket.connect", "socket.sendto", "socket.sendmsg")
#: Those of which the first argument is a host that is looked up.
ASKING = ("socket.getaddrinfo", "socket.gethostbyname")
#: That of which it is an address whose name is looked up.
NAMING = "socket.gethostbyaddr"


class RefusedError(ConnectionRefusedError):
    """Something would have reached beyond this machine."""


def refuse(event: str, arguments: tuple) -> None:
    """Raise `RefusedError` for a connection to another machine, and for the question where one is.

    A hook of Python's auditing: it also sees what goes past the module `socket`. To look up a
    number asks nobody, and is let through.
    """
    if event in REACHING:
        socket, address = arguments[:2]
        # A datagram of a connected socket has no address.
        if socket.family in (AF_INET, AF_INET6) and address and not is_here(address[0]):
            raise RefusedError(f"tests reach nothing but this machine, not {address[0]}")
    elif event in ASKING or event == NAMING:
        host = arguments[0]
        if not is_here(host) and (event == NAMING or not is_number(host)):
            raise RefusedError(f"tests ask nobody where another machine is: {host}")


def is_here(host: object) -> bool:
    """Whether a host is this machine: its loopback addresses, its name, or none."""
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    name = name.removeprefix("::ffff:")  # an address of IPv4 in IPv6
    if name in ("", "localhost", "::1", gethostname()):
        return True
    return name.startswith("127.") and is_number(name)


def is_number(host: object) -> bool:
    """Whether a host is the number of an address."""
    from ipaddress import ip_address

    try:
        return bool(ip_address(host.decode() if isinstance(host, bytes) else host))
    except ValueError:
        return False


def run_the_environments_own() -> None:
    """Python imports only the first `sitecustomize`; the environment may have one, too."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    spec = PathFinder.find_spec("sitecustomize", [folder for folder in sys.path if folder != here])
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


sys.addaudithook(refuse)
if __name__ == "sitecustomize":
    run_the_environments_own()
