"""Starting a network: values for its parameters, or a network that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.draw import drawn
from initlab.init.functional import check_batch, unwrapped
from initlab.init.leaving import check_reached, left
from initlab.init.plan import describe_parts, plan
from initlab.init.random import Zeros
from initlab.precision import precision
from initlab.tree import apply

#: Buffers of normalization, and what they start at.
STATISTICS = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0.0}


def initialize(
    module: nn.Module,
    rule: Rule | Scheme,
    generator: torch.Generator,
    *,
    bias: Rule | None = None,
    count: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    batch: tuple[Any, Tensor] | None = None,
    leave: str | Sequence[str] = (),
) -> dict[str, Tensor]:
    """New values for the parameters that the rule or scheme sets, by their names (see `plan`).

    A rule draws weights; biases are zero unless `bias` is given, and normalization layers start
    as in torch, with weights of one and biases of zero, and draw nothing. The module is only read
    (it may live on the meta device); put the values in with
    `module.load_state_dict(params, strict=False)`, or let `initialize_` do both.

    Args:
        module: Any module.
        rule: A rule for every weight, or a scheme for the whole module.
        generator: What is drawn comes from it, on the CPU, in float32.
        bias: The rule of biases.
        count: That many independent networks are drawn, and each tensor is (count, *shape); network
            i is the one that a generator seeded with `generator.initial_seed() + i` gives alone.
        device: Where the values lie.
        dtype: Of the values, by default float32 (complex64 for complex parameters).
        batch: Inputs and targets, for the schemes that look at data.
        leave: Names or patterns of parameters that are to keep the values that they have; "*" for
            those that no rule reaches.

    Returns:
        Values by name; without `count`, those of running statistics of normalization as well, where
        the module's own are not as new.

    Raises:
        TypeError: For what is no module, rule or generator.
        ValueError: For a module without anything to set, parameters that no rule reaches and that
            are not to be left alone, a count below 1, and a scheme without the batch that it needs.

    >>> from initlab.init import HeNormal
    >>> layer = nn.Linear(3, 2)
    >>> params = initialize(layer, HeNormal(), torch.Generator().manual_seed(0))
    >>> {name: tuple(p.shape) for name, p in params.items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    _check(module, rule, bias, generator, count)
    _check_data(rule, batch)
    parts = planned(module, rule, bias, leave)
    if count is None:
        values = _one(module, rule, parts, generator, device, batch) | statistics(module, device)
    else:
        networks = [_one(module, rule, parts, g, device, batch) for g in _each(generator, count)]
        values = {name: torch.stack([own[name] for own in networks]) for name in networks[0]}
    if dtype is not None:
        values = {n: v.to(dtype) if v.is_floating_point() else v for n, v in values.items()}
    return values


def _one(
    module: nn.Module,
    rule: Rule | Scheme,
    parts: Mapping[str, Part],
    generator: torch.Generator,
    device: str | torch.device,
    batch: tuple[Any, Tensor] | None,
) -> dict[str, Tensor]:
    values = drawn(module, parts, generator, 1)
    params = {name: t[0].to(device) for name, t in values.items()}
    if not isinstance(rule, Scheme) or not rule.needs_batch:
        return params
    x, y = check_batch(batch)
    here = apply(lambda t: t.to(device), x), y.to(device)
    with precision("float32", here[1].device):
        return rule.fit(module, params, here, generator)


def planned(
    module: nn.Module,
    rule: Rule | Scheme,
    bias: Rule | None = None,
    leave: str | Sequence[str] = (),
) -> dict[str, Part]:
    """The plan, if it reaches every parameter that is not to be left alone.

    Raises:
        ValueError: If it does not, or if there is nothing that it sets.
    """
    parts = plan(module, rule, Zeros() if bias is None else bias)
    names = (leave,) if isinstance(leave, str) else tuple(leave)
    parts = left(module, parts, names)
    if isinstance(rule, Scheme) and rule.leaves_all:
        return parts
    if not parts:
        raise ValueError(
            f"{type(module).__name__} has nothing to initialize: no linear layer and no convolution"
        )
    check_reached(module, parts, rule.label)
    return parts


def stacked(
    module: nn.Module,
    rule: Rule | Scheme,
    generator: torch.Generator,
    count: int,
    bias: Rule | None = None,
    device: str | torch.device = "cpu",
) -> dict[str, Tensor]:
    """What `count` networks start from, drawn layer by layer for all of them: fast for thousands.

    Args:
        module: It is only read.
        rule: A rule, or a scheme; what a scheme fits to data is not done.
        generator: It draws all of them, so that a network depends on how many there are.
        count: Number of networks.
        bias: Draws the biases, by default zeros.
        device: Where the tensors lie.

    Returns:
        Parameters by name, (count, *shape).

    Raises:
        ValueError: For a module without anything to set, or with parameters that no rule reaches.
    """
    parts = planned(module, rule, bias)
    return {name: t.to(device) for name, t in drawn(module, parts, generator, count).items()}


def statistics(module: nn.Module, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Running statistics as they are when nothing has been seen, where the module's are others."""
    found = {}
    for name, b in module.named_buffers():
        fresh = STATISTICS.get(name.rpartition(".")[2])
        if fresh is not None and not b.is_meta and bool((b != fresh).any()):
            found[name] = torch.full_like(b, fresh, device=device)
    return found


@dataclass(frozen=True, eq=False)
class Start:
    """What `initialize_` did: which rule set each parameter, and what was left alone, and why.

    `table` has one row for every parameter (see `describe`); what was drawn came from `seed`.
    """

    table: pd.DataFrame
    seed: int

    @property
    def set(self) -> dict[str, str]:
        """The label of the rule that set each parameter, by name."""
        done = self.table[~self.table.start.str.startswith("left alone")]
        return dict(zip(done.parameter, done.start, strict=True))

    @property
    def left(self) -> dict[str, str]:
        """Why a parameter was left as it was, by name."""
        alone = self.table[self.table.start.str.startswith("left alone")]
        whys = alone.start.str.removeprefix("left alone: ")
        return dict(zip(alone.parameter, whys, strict=True))

    def __str__(self) -> str:
        """A line for each rule and for each reason, with the number of parameters."""
        lines = []
        for start, own in self.table.groupby("start", sort=False):
            names = list(own.parameter)
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"{start}: {', '.join(names[:3])}{more}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False)


@torch.no_grad()
def initialize_(
    module: nn.Module,
    rule: Rule | Scheme,
    *,
    seed: int,
    bias: Rule | None = None,
    batch: tuple[Any, Tensor] | None = None,
    leave: str | Sequence[str] = (),
) -> Start:
    """Start a module anew, in place, in the manner of `torch.nn.init`.

    One seed gives one start, on any device, in any wrapper (`DistributedDataParallel`,
    `torch.compile`), and on every rank of FSDP: each draws the whole tensor on the CPU and keeps
    its own part. Running statistics of normalization are as new. In a constructor under
    `torch.device("meta")` there are no values to set: call it again after `to_empty`.

    Args:
        module: Any module; parameters keep their device and their type of number.
        rule: A rule for every weight, or a scheme for the whole module.
        seed: What is drawn comes from it; the global random state is neither read nor changed.
        bias: The rule of biases, by default zeros.
        batch: Inputs and targets, for the schemes that look at data.
        leave: Names or patterns of parameters that are to keep the values that they have; "*" for
            those that no rule reaches.

    Returns:
        What was set by which rule, and what was left alone and why.

    Raises:
        TypeError: For what is no module or rule, or a seed that is no whole number.
        ValueError: As `initialize` does; nothing has been changed then.

    >>> from initlab.init import HeNormal
    >>> print(initialize_(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), HeNormal(), seed=0))
    He normal: 0.weight
    Zeros: 0.bias, 1.bias
    Constant: 1.weight
    """
    if type(seed) is not int:
        raise TypeError(f"seed must be a whole number, not {seed!r}")
    generator = torch.Generator().manual_seed(seed)
    _check(module, rule, bias, generator, None)
    module = unwrapped(module)
    parts = planned(module, rule, bias, leave)
    table = pd.DataFrame(describe_parts(module, parts))
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    if all(t.is_meta for t in module.parameters()):
        return Start(table, seed)
    _check_data(rule, batch)
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    where = torch.device("cpu") if batch is None else device
    values = _one(module, rule, parts, generator, where, batch) | statistics(module, where)
    for name, value in values.items():
        if not tensors[name].is_meta:
            _write(tensors[name], value)
    return Start(table, seed)


def _write(tensor: Any, value: Tensor) -> None:
    """Set a tensor to a value; of one that is shared among ranks, this rank's part of it."""
    if hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        full = value.to(tensor.dtype).to(tensor.to_local().device)
        # Every rank has drawn the same. PyTorch before 2.6 sends it from the first all the same.
        knows = "src_data_rank" in signature(distribute_tensor).parameters
        alone = {"src_data_rank": None} if knows else {}
        value = distribute_tensor(full, tensor.device_mesh, tensor.placements, **alone)
    tensor.copy_(value)


def _each(generator: torch.Generator, count: int) -> list[torch.Generator]:
    """Generators of the seeds from a generator's own on."""
    seed = generator.initial_seed()
    if not torch.equal(generator.get_state(), torch.Generator().manual_seed(seed).get_state()):
        raise ValueError(
            "with count, network i is drawn from the generator's seed + i, but this generator has "
            "moved on from its seed: give one that has drawn nothing yet, "
            "torch.Generator().manual_seed(seed)"
        )
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def _check_data(rule: Rule | Scheme, batch: object) -> None:
    if isinstance(rule, Scheme) and rule.needs_batch and batch is None:
        raise ValueError(f"{rule.label} looks at data: give batch=(x, y), inputs and targets")


def _check(module: object, rule: object, bias: object, generator: object, count: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"initialize takes a torch module, not {module!r}; build() makes one of a model"
        )
    for name, given, kinds in (("rule", rule, (Rule, Scheme)), ("bias", bias, (Rule, type(None)))):
        if not isinstance(given, kinds):
            raise TypeError(
                f"{name} must be a rule such as HeNormal(), not {given!r}; rule('he_normal') looks "
                "one up by its name"
            )
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, not {generator!r}; "
            "torch.Generator().manual_seed(seed) makes one"
        )
    if count is not None and (type(count) is not int or count < 1):
        raise ValueError(
            f"count must be a whole number ≥ 1, or None for one network, not {count!r}"
        )
