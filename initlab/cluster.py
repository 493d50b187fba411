"""Work on a Ray cluster: groups of runs sent out, sent again when a node is lost, given back.

Ray schedules, retries and moves the data; nothing here does. It is imported only when it is
used, and every node needs the same version of this package.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")

#: Tasks sent for every CPU of the cluster: one that runs and one that is ready to.
IN_FLIGHT = 2
#: Seconds that a cluster may take to answer.
PATIENCE = 10.0


class ClusterError(RuntimeError):
    """A cluster that cannot be used; the message says why and what to do."""


def on_ray(
    groups: Iterable[Sequence[Item]],
    execute: Callable[[Sequence[Item], str], Done],
    *,
    device: str = "cpu",
    gpus_per_task: float = 0.0,
    retries: int = 3,
    address: str | None = None,
) -> Iterator[Done]:
    """`execute(group, device)` of every group, as they end, in any order.

    `execute` is a function of a module, and a group a sequence of frozen dataclasses. Each is
    one task of one CPU, and on "cuda" of `gpus_per_task` of a GPU (0.25: four share one). A task
    whose worker or node dies is sent again, up to `retries` times. Groups are taken from the
    iterable when there is room for them. Ctrl-C, or giving up the iterator, cancels what is in
    flight.

    The cluster is the one at `address`, else at `RAY_ADDRESS`, else the one that runs on this
    machine, else one that is started on this machine for as long as it is needed; that one listens
    on the loopback address, which other machines do not reach.

    Raises `ClusterError` when Ray is missing, the address cannot be reached or a group is lost
    more than `retries` times, and `ValueError` for a device or a share that Ray cannot give. An
    error that `execute` raises comes through at once.
    """
    if device.startswith("cuda:"):
        raise ValueError(f"Ray chooses the GPU of a task: device must be 'cuda', not {device!r}")
    if (device == "cuda") != (gpus_per_task > 0):
        raise ValueError(
            f"gpus_per_task must be > 0 on 'cuda' and 0 elsewhere, not {gpus_per_task} on "
            f"{device!r}"
        )
    ray = _ray()
    task: Any = ray.remote(num_cpus=1, num_gpus=gpus_per_task, max_retries=retries)(_task)
    return _results(ray, lambda group: task.remote(execute, group, device), groups, address)


def _task(execute: Callable[[Sequence[Item], str], Done], group: Sequence[Item], device: str):
    import torch  # on the node: who only sends needs none

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a vanished signal must not cost a hundred times more
    return execute(group, device)


def _results(
    ray: Any,
    send: Callable[[Sequence[Item]], Any],
    groups: Iterable[Sequence[Item]],
    address: str | None,
) -> Iterator[Any]:
    waiting = iter(groups)
    flying: list[Any] = []
    with connected(address):
        try:
            while True:
                # Asked each time: nodes come and go.
                room = IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 0)))
                flying += map(send, islice(waiting, max(0, room - len(flying))))
                if not flying:
                    return
                [done], flying = ray.wait(flying)
                yield ray.get(done)
        except ray.exceptions.RayTaskError:
            raise  # what `execute` raised, as an instance of its own class too
        except ray.exceptions.RayError as error:
            raise ClusterError(
                f"a group was lost and could not be sent again: {str(error).splitlines()[0]} What "
                "was stored before is safe. See to the cluster's nodes and their memory, and run "
                "again."
            ) from error
        finally:
            for task in flying:
                ray.cancel(task, force=True)


@contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """Ray, connected to a cluster for as long as the context lasts (or already before it).

    Which cluster, and the errors, are as in `on_ray`.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    named = address or os.environ.get("RAY_ADDRESS") or ""
    host, port = _host_and_port(named)
    if port is not None:
        _answers(host, port, named)
    # A Ray of our own reports nothing to anyone; on a cluster that runs this has no effect.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = named in ("", "local") or host in ("127.0.0.1", "localhost", "::1")
    try:
        with _on_loopback() if here else nullcontext():
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # of no class of Ray's own, and some of none in particular
        raise _unreachable(named or "this machine", str(error)) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """What Ray starts meanwhile listens on 127.0.0.1 alone, and so named it is looked for there.

    Ray has no argument for that: for 127.0.0.1 it takes an address that other machines reach. It
    does not where it has no clusters of several machines, and is told to by this switch, which its
    processes read from the environment, and this one has read when it imported Ray.
    """
    from ray._private import ray_constants

    switch = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before = os.environ.get(switch), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[switch], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        named, ray_constants.ENABLE_RAY_CLUSTER = before
        if named is None:
            del os.environ[switch]
        else:
            os.environ[switch] = named


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "Ray is not installed: pip install 'initlab[ray]'; engine 'local' needs nothing more"
        ) from error
    return ray


def _host_and_port(address: str) -> tuple[str, int | None]:
    """The parts of an address; no port for "auto", "local" and what Ray refuses at once."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    return host.strip("[]"), int(port) if colon and port.isdigit() else None


def _answers(host: str, port: int, address: str) -> None:
    """Ray itself waits for minutes for a cluster that is not there."""
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, reason: str) -> ClusterError:
    return ClusterError(
        f"there is no Ray cluster at {address}: {reason}. Give the address of its head node, such "
        "as 'head:6379', as an argument or in RAY_ADDRESS, or none at all to use this machine."
    )
