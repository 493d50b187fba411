"""What each parameter of any module starts as under one rule."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.fans import Fans
from initlab.init.kinds import Bias, Fixed, Maps, Role, roles
from initlab.init.parametrized import ORIGINAL, old_style
from initlab.init.random import Constant, Zeros
from initlab.init.wrappers import Blank


def describe(
    module: nn.Module, rule: Rule | Scheme, bias: Rule | None = None
) -> list[dict[str, Any]]:
    """One row for every parameter of a module, also of those left alone.

    Columns: `parameter`, `shape`, `kind` of its layer, `start` (the rule's label, or why it is left
    alone), `fan_in`, `fan_out`, the declared `variance`, and a `note`: what it is tied with.

    >>> describe(nn.Linear(3, 2), Constant(0.5))[0]["start"]
    'Constant'
    """
    return describe_parts(module, plan(module, rule, bias))


def describe_parts(module: nn.Module, parts: Mapping[str, Part]) -> list[dict[str, Any]]:
    """The rows of `describe` for a plan that is there."""
    tensors = dict(module.named_parameters())
    rows = []
    for name, part in parts.items():
        rule_of, of = part.rule, part.fans
        rows.append(
            {
                "parameter": name,
                "shape": tuple(tensors[name].shape),
                "kind": type(module.get_submodule(name.rpartition(".")[0])).__name__,
                "start": rule_of.label if rule_of else f"left alone: {part.why}",
                "fan_in": of.fan_in if of else nan,
                "fan_out": of.fan_out if of else nan,
                "variance": _declared(part, tuple(tensors[name].shape)),
                "note": part.why if rule_of else "",
            }
        )
    return rows


def _declared(part: Part, shape: tuple[int, ...]) -> float:
    """The mean square that a parameter's entries are to have."""
    if part.rule is None or part.fans is None or 0 in shape:
        return nan
    return part.rule.mean_square(part.fans, part.maps.shape if part.maps else shape)


def plan(module: nn.Module, rule: Rule | Scheme, bias: Rule | None = None) -> dict[str, Part]:
    """What each parameter starts as, by its name; a scheme's own plan, or one rule everywhere.

    A rule draws the weights of linear layers, convolutions, recurrent layers and embeddings, map by
    map where one tensor holds several (see `initlab.init.kinds`). Biases are drawn by `bias` (zero
    by default), normalization starts at one and zero. A parameter that takes part in several layers
    is drawn once, as that one that sums the most terms. Those that do not learn
    (`requires_grad=False`), and those for which there is no rule, are left alone, with the reason.

    Raises:
        ValueError: For lazy layers, which have no shapes yet.

    >>> parts = plan(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), Constant(0.5))
    >>> {name: part.rule.label for name, part in parts.items() if part.rule}
    {'0.weight': 'Constant', '0.bias': 'Zeros', '1.weight': 'Constant', '1.bias': 'Zeros'}
    """
    if isinstance(rule, Scheme):
        return rule.plan(module)
    found: dict[str, Part] = {}
    for name, uses in used(module).items():
        parameter = module.get_parameter(name)
        if is_lazy(parameter):
            raise ValueError(
                f"{name} has no shape yet, for its layer is lazy: pass one batch through the "
                "module first"
            )
        options = [_part(module, use, rule, bias or Zeros()) for use in uses]
        # A tied embedding is an output layer first: its scale there decides the loss.
        part = max(options, key=lambda p: (p.rule is not None, p.fans.fan_in if p.fans else 0))
        tied = [use for use in uses if use != name]
        if tied:
            part = part._replace(why="; ".join(filter(None, [part.why, f"tied: {tied[0]}"])))
        if not parameter.requires_grad:
            part = Part(None, None, "it does not learn (requires_grad=False)")
        found[name] = part
    return found


def used(module: nn.Module) -> dict[str, list[str]]:
    """Each parameter's name, and all names under which it takes part, first that one."""
    found: dict[int, list[str]] = {}
    for path, layer in module.named_modules():
        for name, parameter in layer._parameters.items():
            if parameter is not None:
                found.setdefault(id(parameter), []).append(f"{path}.{name}".lstrip("."))
    return {names[0]: names for names in found.values()}


def weights_of(module: nn.Module, path: str) -> list[str]:
    """Names of the parameters that are, or make, the weight of a layer; none for one without."""
    start = f"{path}." if path else ""
    made = (f"{start}weight", f"{start}weight_", f"{start}parametrizations.weight.")
    names = []
    for name, uses in used(module).items():
        for use in uses:
            if (
                use == made[0]
                or use.startswith(made[2])
                or (
                    use.startswith(made[1])
                    and old_style(module.get_submodule(path), use[len(start) :])
                )
            ):
                names.append(name)
    return names


def own_name(module: nn.Module, name: str) -> str:
    """The name that `named_parameters` has for a parameter that is tied with one named before."""
    return next((first for first, names in used(module).items() if name in names), name)


def _part(module: nn.Module, use: str, rule: Rule, bias: Rule) -> Part:
    """One parameter as one layer uses it."""
    path, _, name = use.rpartition(".")
    layer = module.get_submodule(path)
    through = ""
    if isinstance(layer, parametrize.ParametrizationList):
        # …layer.parametrizations.weight.original: what counts is the weight that is made of it
        path, _, name = f".{path}".rpartition(".parametrizations.")
        path = path.removeprefix(".")
        through, layer = use.rpartition(".")[0], module.get_submodule(path)
        if not ORIGINAL.match(use.rpartition(".")[2]):
            return Part(None, None, "it belongs to a parametrization", missed=True)
    elif made := old_style(layer, name):
        through, name = f"{path}.{made}".lstrip("."), made
    role = roles(layer, path.rpartition(".")[2]).get(name)
    if role is None and name == "bias" and module.get_parameter(use).dim() == 1:
        role = Bias()  # of a layer that nobody has told of: a bias all the same
        if not isinstance(bias, Constant):
            return Part(None, None, f"the fan-in of {type(layer).__name__} is unknown", missed=True)
    if role is None:
        why = f"no rule is for {name!r} of {type(layer).__name__}"
        return Part(None, None, why, missed=True)
    if through and not isinstance(role, Maps):
        return Part(None, None, f"{name!r} is made by a parametrization", missed=True)
    return _of(role, rule, bias)._replace(through=through)


def _of(role: Role, rule: Rule, bias: Rule) -> Part:
    if isinstance(role, Maps):
        return Part(rule if role.row is None else Blank(rule, role.row), role.fans, maps=role)
    if isinstance(role, Bias):
        return Part(bias, role.fans)
    assert isinstance(role, Fixed)
    return Part(Zeros() if role.value == 0 else Constant(role.value), Fans(1, 1))
