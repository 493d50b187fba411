"""One seed is one start on every rank: under DistributedDataParallel, and with FSDP's shards."""

from __future__ import annotations

import os
import socket

import pytest
import torch
from torch import multiprocessing as mp
from torch import nn

from initlab import initialize_
from initlab.init import HeNormal, Orthogonal

pytest.importorskip("torch.distributed.fsdp", reason="this torch has no FSDP")


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 10), nn.RMSNorm(10), nn.Linear(10, 4, bias=False))


def work(rank: int, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    expected = net()
    initialize_(expected, Orthogonal(), seed=4)
    torch.manual_seed(rank)
    parallel = nn.parallel.DistributedDataParallel(net())
    initialize_(parallel, Orthogonal(), seed=4)
    for a, b in zip(expected.parameters(), parallel.parameters(), strict=True):
        assert torch.equal(a, b)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    with torch.device("meta"):
        sharded = net()
    fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
    sharded.to_empty(device="cpu")
    start = initialize_(sharded, HeNormal(), seed=4)
    assert not start.left
    initialize_(expected, HeNormal(), seed=4)
    for a, b in zip(expected.parameters(), sharded.parameters(), strict=True):
        assert b.to_local().shape != a.shape
        assert torch.equal(a, b.full_tensor())
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(
    not hasattr(torch.distributed.fsdp, "fully_shard"), reason="this torch has no fully_shard"
)
def test_all_ranks_start_alike():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, args=(port,), nprocs=2)
