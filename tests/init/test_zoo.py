"""Every parameter of 35 networks that people have is set by a named rule, or is listed."""

from __future__ import annotations

import copy
import re
import warnings
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from initlab import diagnose, init, initialize_
from initlab.init.kinds import Maps, roles
from initlab.init.starting import Start
from initlab.tree import apply
from tests.zoo import ZOO, Pet

for library in ("timm", "torchvision", "transformers", "torch_geometric"):
    pytest.importorskip(library, reason=f"{library} is in the extra dev")

RULES = ("he_normal", "gpt2", "orthogonal", "mup", "fixup")
#: Why a scheme refuses a network, by scheme.
RESIDUAL = "adds nothing to a shortcut|cannot be read off|follows it in its branch"
REFUSED = {"gpt2": "cannot be read off", "fixup": RESIDUAL, "mup": "are tied"}


def changed(module: nn.Module, before: dict[str, Tensor]) -> list[str]:
    now = module.state_dict()
    return [name for name, t in before.items() if not torch.equal(t, now[name])]


@pytest.fixture(scope="module", params=ZOO, ids=str)
def pet(request):
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # of the libraries, at building
        torch.manual_seed(0)
        return ZOO[request.param], ZOO[request.param].make()


@dataclass(frozen=True)
class Begun:
    """A network that was started by a scheme: what was done, or why it was refused."""

    kind: Pet
    module: nn.Module
    scheme: str
    before: dict[str, Tensor]
    done: Start | ValueError


@pytest.fixture(scope="module", params=RULES)
def begun(pet, request) -> Begun:
    kind, module = pet
    module = copy.deepcopy(module)
    before = copy.deepcopy(module.state_dict())
    try:
        done = initialize_(module, init.rule(request.param), seed=0, leave=kind.stays)
    except ValueError as error:
        done = error
    return Begun(kind, module, request.param, before, done)


def test_what_no_rule_reaches_is_refused_by_name(begun):
    if not begun.kind.stays:
        return
    with pytest.raises(ValueError) as error:
        initialize_(copy.deepcopy(begun.module), init.rule(begun.scheme), seed=0)
    told = str(error.value)
    assert "does not reach" in told or re.search(REFUSED.get(begun.scheme, "^$"), told), told


def test_every_parameter_is_set_by_a_rule_or_listed(begun):
    module, start = begun.module, begun.done
    if isinstance(start, ValueError):
        assert re.search(REFUSED.get(begun.scheme, "^$"), str(start)), start
        assert not changed(module, begun.before), "a refusal changes nothing"
        return
    learned = {n for n, p in module.named_parameters() if p.requires_grad}
    assert {n for n in start.left if n in learned} == {
        n for n in learned if any(fnmatchcase(n, pattern) for pattern in begun.kind.stays)
    }
    assert set(start.set) | set(start.left) == {n for n, _ in module.named_parameters()}
    left = {n for n in changed(module, begun.before) if n in start.left}
    assert not left, "what is listed as left has changed"
    assert all(torch.isfinite(p).all() for p in module.parameters())


#: Layers whose weight is not what is multiplied with: standardized, or made of others.
MADE = ("ScaledStdConv", "StdConv")


def _multiplies(layer: nn.Module) -> bool:
    """Whether a layer is one linear map of its input, or a convolution."""
    weight = roles(layer).get("weight")
    return isinstance(weight, Maps) and weight.fans.fan_in != 1


def shown(module: nn.Module, x) -> list[tuple[str, Tensor, Tensor]]:
    """Path, input and output of every plain linear layer and convolution."""
    seen: list[tuple[str, Tensor, Tensor]] = []
    hooks = [
        layer.register_forward_hook(
            lambda m, given, out, path=path: seen.append(
                (path, given[0].detach().clone(), out.detach().clone())
            )
        )
        for path, layer in module.named_modules()
        if _multiplies(layer) and not type(layer).__name__.startswith(MADE)
    ]
    with torch.no_grad():
        module(**x) if isinstance(x, dict) else module(x)
    for hook in hooks:
        hook.remove()
    return seen


def expected(layer: nn.Module, x: Tensor, variance: float) -> float:
    """The mean square of a layer's outputs over random weights of that variance."""
    if not isinstance(layer, nn.Conv1d | nn.Conv2d):
        return float(x.double().square().sum(-1).mean()) * variance
    ones = copy.deepcopy(layer).double()
    ones.padding_mode = "zeros"
    with torch.no_grad():
        ones.weight.fill_(1.0)
        if ones.bias is not None:
            ones.bias.zero_()
        return float(ones(x.double().square()).mean()) * variance


def test_second_moments_are_what_theory_says(begun):
    if isinstance(begun.done, ValueError):
        return  # the network is as it was
    kind, module = begun.kind, begun.module.eval()
    told = {row["parameter"]: row for row in init.describe(module, init.rule(begun.scheme))}
    layers = 0
    for path, x, out in shown(module, kind.inputs(8)):
        layer = module.get_submodule(path)
        row = told.get(f"{path}.weight")
        if row is None or row["note"] or not float(x.abs().max()) > 0:
            continue  # tied: it is drawn as another layer needs it
        maps = roles(layer, path.rpartition(".")[2])["weight"]
        found = float(out.double().square().mean())
        if row["variance"] == 0:
            assert found == (
                0 if layer.bias is None else float(layer.bias.detach().square().mean())
            )
            layers += 1
            continue
        ratio = found / expected(layer, x, row["variance"])
        # Units are as many draws; fewer count where channels of their own differ in size.
        units = maps.number * maps.shape[0]
        slack = 0.05 + (6 if maps.number == 1 else 12) * sqrt(2 / units)
        assert abs(ratio - 1) < slack, (path, ratio, units)
        layers += 1
    assert layers


def test_a_diagnosis_reads_only(pet, untouched_random_state):
    diagnosed(*pet)


def test_a_diagnosis_of_a_start_reads_only(begun, untouched_random_state):
    if not isinstance(begun.done, ValueError):
        diagnosed(begun.kind, begun.module)


def diagnosed(kind: Pet, module: nn.Module) -> None:
    """Diagnose a network in training, and see that nothing of it has changed."""
    module.train()
    before = copy.deepcopy(module.state_dict())
    x, y = kind.inputs(4), kind.targets(4)
    given = apply(torch.clone, x)
    report = diagnose(module, (x, y), optimizer=torch.optim.Adam)
    assert not changed(module, before)
    assert all(p.grad is None for p in module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert all(torch.equal(a, b) for a, b in zip(_leaves(x), _leaves(given), strict=True))
    assert report.first is None and report.left_out == {}
    assert set(report.parameters.parameter) == {n for n, _ in module.named_parameters()}
    assert len(report.layers) > 6 and str(report)


def _leaves(x):
    return list(x.values()) if isinstance(x, dict) else [x]
