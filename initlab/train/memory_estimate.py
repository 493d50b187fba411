"""What a group of networks holds in memory, known before it is trained."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from initlab.models import AnyModel, Model, ModuleModel, Network, parameter_count
from initlab.tensors import Inputs
from initlab.train.ensemble import logits
from initlab.train.loss import CrossEntropy
from initlab.train.optim import SGD, Optimizer
from initlab.tree import apply, leaves

#: Bytes that the networks of a stacked group use at each step and that should stay in the cache.
CACHE = 48 * 2**20


#: A user's networks that are trained as one: as many as are fast where they are computed together,
#: and not too many to be lost together.
OWN = 16


def own_activation_bytes(model: Network, batch_size: int, x: Inputs) -> int:
    """Bytes that autograd keeps of one network for one batch, parameters and inputs left out.

    Found by running one step on the samples `x`, and taken to grow with the batch.
    """
    module = model.build("cpu").train()
    ours = {t.data_ptr() for t in (*module.parameters(), *leaves(x))}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(t)  # else another tensor could take its place
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        logits(model, module, apply(lambda t: t.cpu(), x))
    return sum(kept.values()) * batch_size // len(next(leaves(x)))


@lru_cache
def activation_bytes(model: Model, batch_size: int) -> int:
    """Bytes that autograd keeps of one network for one batch, parameters and inputs left out.

    Found by running the step on the meta device, where nothing is computed.
    """
    params = {
        name: torch.empty((1, *p.shape), device="meta", requires_grad=True)
        for name, p in model.build("meta").named_parameters()
    }
    x = torch.empty((batch_size, *model.input_shape), device="meta")
    ours = {id(p) for p in params.values()}
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        base = t._base if t._base is not None else t
        if id(base) not in ours and base is not x:
            kept[id(base)] = base.numel() * base.element_size()
            alive.append(base)  # else another tensor could take its id
        return t

    alive: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        logits = model.forward(params, x)
        # Not on the meta device, where its steps are Python's and bring the whole of a compiler.
        CrossEntropy()(
            torch.zeros(logits.shape, requires_grad=True), torch.zeros(batch_size, dtype=torch.long)
        )
    return sum(kept.values())


@lru_cache
def state_bytes(model: AnyModel, optimizer: Optimizer) -> int:
    """Bytes that the optimizer of one network remembers of its parameters."""
    shapes = {name: tuple(p.shape) for name, p in model.build("meta").named_parameters()}
    slots = optimizer.slots(shapes)
    return sum(4 * n * prod(shape) for n, shape in zip(slots, shapes.values(), strict=True))


def group_bytes(
    model: AnyModel,
    batch_size: int,
    optimizer: Optimizer,
    networks: int,
    teacher: bool = False,
    device: str = "cpu",
    x: Inputs | None = None,
) -> int:
    """Bytes that a group of `networks` holds while it trains: parameters, gradients, the state
    of the optimizer, one batch of its own, what autograd keeps, and a teacher for each if they have
    one. What libraries hold on a GPU for themselves is not among them.
    """
    weights = 4 * parameter_count(model) * (2 + teacher) + state_bytes(model, optimizer)
    if isinstance(model, Network):
        assert x is not None
        batch = sum(t[0].numel() * t.element_size() for t in leaves(x)) * batch_size
        return networks * (weights + batch + own_activation_bytes(model, batch_size, x))
    batch = 4 * batch_size * torch.Size(model.input_shape).numel()
    # Networks that are computed one after the other keep the activations of one at a time.
    one = activation_bytes(model, batch_size)
    in_turn = isinstance(model, ModuleModel) and torch.device(device).type == "cpu"
    kept = one if in_turn else one * networks
    return networks * (weights + batch) + kept


def networks_at_once(
    model: AnyModel,
    batch_size: int,
    optimizer: Optimizer | None = None,
    device: str = "cpu",
    memory: float | None = None,
    teacher: bool = False,
    x: Inputs | None = None,
) -> int:
    """How many networks to train as one: as many as are fast, and as `memory` bytes hold.

    Raises `ValueError` when not even one fits.
    """
    optimizer = SGD() if optimizer is None else optimizer
    if isinstance(model, Network):
        size = OWN
    elif isinstance(model, ModuleModel):
        size = 8  # one after the other: more would not be faster, and are lost together
    elif torch.device(device).type == "cpu":
        size = max(
            1, CACHE // (8 * parameter_count(model) + 2 * activation_bytes(model, batch_size))
        )
    else:
        size = 1024
    if memory is None:
        return size
    if not isinstance(memory, int | float) or not memory > 0:
        raise ValueError(f"memory is a number of bytes > 0, not {memory!r}")

    def needs(networks: int) -> int:
        return group_bytes(model, batch_size, optimizer, networks, teacher, device, x)

    while size > 1 and needs(size) > memory:
        size = max(1, size * 3 // 4)
    if (needed := needs(size)) > memory:
        raise ValueError(
            f"one network of {type(model).__name__} at batch size {batch_size} needs "
            f"{needed / 2**20:,.0f} MiB, but memory is {memory / 2**20:,.0f} MiB; allow more "
            "memory, or take smaller batches"
        )
    return size
