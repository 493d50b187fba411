"""What a group holds is known before it is trained."""

from __future__ import annotations

import pytest
import torch

from initlab.init import HeNormal, initialize
from initlab.models import MLP, ConvNet, ResidualMLP, ResNet9, parameter_count
from initlab.train import SGD, Adam, CrossEntropy
from initlab.train.memory_estimate import activation_bytes, group_bytes, networks_at_once

MODELS = [
    MLP((8, 6), inputs=20),
    MLP((8,) * 4, inputs=20, activation="gelu"),
    ResidualMLP(3, 5, inputs=20, outputs=10),
    ConvNet((3, 4), input_shape=(1, 8, 8), outputs=10),
    ResNet9(width=2, input_shape=(1, 8, 8)),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_activations_are_what_autograd_keeps(model):
    """Counted on real tensors: storages that autograd saves, but for parameters and inputs."""
    generator = torch.Generator().manual_seed(0)
    params = initialize(model.build("meta"), HeNormal(), generator, count=1)
    leaves = {k: v.requires_grad_() for k, v in params.items()}
    x = torch.randn(16, *model.input_shape)
    known = {v.data_ptr() for v in leaves.values()} | {x.data_ptr()}
    kept: dict[int, int] = {}
    alive = []

    def pack(t: torch.Tensor) -> torch.Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in known and t.numel():
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        CrossEntropy()(model.forward(leaves, x), torch.zeros(16, dtype=torch.int64))
    counted = sum(kept.values())
    assert activation_bytes(model, 16) == pytest.approx(counted, rel=0.25)


def test_activations_grow_with_the_batch_and_groups_with_their_networks():
    model = MODELS[0]
    assert activation_bytes(model, 64) == pytest.approx(4 * activation_bytes(model, 16), rel=0.05)
    none, one, two = (group_bytes(model, 16, o, 2) for o in (SGD(), SGD(momentum=0.9), Adam()))
    assert [one - none, two - none] == [k * 2 * 4 * parameter_count(model) for k in (1, 2)]
    assert group_bytes(model, 16, SGD(), 6) == 3 * group_bytes(model, 16, SGD(), 2)


def test_networks_that_a_gpu_computes_side_by_side_keep_what_each_needs():
    model = ResNet9(width=2, input_shape=(1, 8, 8))
    one, eight = (group_bytes(model, 16, SGD(), n, device="cuda") for n in (1, 8))
    assert eight == 8 * one > group_bytes(model, 16, SGD(), 8)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_the_size_of_a_group_obeys_the_memory(model):
    one = group_bytes(model, 16, SGD(), 1)
    for memory in (one, 2.5 * one, 40 * one):
        size = networks_at_once(model, 16, SGD(), memory=memory)
        assert size >= 1
        assert group_bytes(model, 16, SGD(), size) <= memory
    with pytest.raises(ValueError, match="MiB; allow more memory, or take smaller batches"):
        networks_at_once(model, 16, SGD(), memory=one - 1)
