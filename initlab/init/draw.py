"""Drawing what a plan says: maps into the tensors that hold them, for many networks at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from initlab.init.contract import Part, Rule
from initlab.init.parametrized import making


def drawn(
    module: nn.Module, parts: Mapping[str, Part], generator: torch.Generator, count: int
) -> dict[str, Tensor]:
    """Values of all that a plan draws, (count, *shape) by name, in the plan's order.

    Raises:
        ValueError: For a rule that does not fit a tensor, naming the tensor.
    """
    found: dict[str, Tensor] = {}
    for name, part in parts.items():
        if part.rule is None or part.fans is None or name in found:
            continue
        p = module.get_parameter(name)
        if not part.through:
            found[name] = _tensor(name, part, tuple(p.shape), p.is_complex(), generator, count)
            continue
        assert part.maps is not None
        weights = _tensor(part.through, part, part.maps.size, p.is_complex(), generator, count)
        seeds = torch.randint(2**62, (count,), generator=generator).tolist()
        made = [making(module, part.through, w, s) for w, s in zip(weights, seeds, strict=True)]
        found |= {own: torch.stack([values[own] for values in made]) for own in made[0]}
    return found


def _tensor(
    name: str,
    part: Part,
    shape: tuple[int, ...],
    complex_numbers: bool,
    generator: torch.Generator,
    count: int,
) -> Tensor:
    assert part.rule is not None and part.fans is not None
    if part.maps is not None and part.maps.size != shape:
        raise ValueError(
            f"{name} is {shape}, but its kind of layer (initlab.init.layer_kind) says that "
            f"its maps have the size {part.maps.size}"
        )
    if 0 in shape:
        return torch.zeros(count, *shape, dtype=torch.complex64 if complex_numbers else None)
    if not complex_numbers:
        return _real(part, shape, generator, count)
    if part.rule.states == "fixed":
        return _real(part, shape, generator, count).to(torch.complex64)
    if part.rule.states == "isometry":
        raise ValueError(
            f"{name} is complex, and {part.rule.label} draws real matrices; take a rule of a "
            "variance, such as GlorotNormal()"
        )
    # Half of the variance each, so that E|w|² is what the rule declares.
    real, imaginary = (_real(part, shape, generator, count) / 2**0.5 for _ in range(2))
    return torch.complex(real, imaginary)


def _real(part: Part, shape: tuple[int, ...], generator: torch.Generator, count: int) -> Tensor:
    rule, fans, maps = part.rule, part.fans, part.maps
    assert isinstance(rule, Rule) and fans is not None
    if maps is None or rule.independent or (maps.stored == "oi" and not maps.joined):
        return rule.stack(fans, shape, generator, count)
    return maps.arrange(rule.stack(fans, maps.shape, generator, count * maps.number))
