"""Every parameter of 35 networks that people have is set by a named rule, or is listed."""

from __future__ import annotations

import copy
import re
import warnings
from fnmatch import fnmatchcase
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from initlab import diagnose, init, initialize_
from initlab.init.kinds import Maps, roles
from initlab.tree import apply
from tests.zoo import ZOO

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


@pytest.mark.parametrize("name", RULES)
def test_every_parameter_is_set_by_a_rule_or_listed(pet, name):
    kind, module = pet
    module = copy.deepcopy(module)
    rule = init.rule(name)
    if kind.stays:
        with pytest.raises(ValueError) as error:
            initialize_(module, rule, seed=0)
        told = str(error.value)
        assert "does not reach" in told or re.search(REFUSED.get(name, "^$"), told), told
    before = copy.deepcopy(module.state_dict())
    try:
        start = initialize_(module, rule, seed=0, leave=kind.stays)
    except ValueError as error:
        assert re.search(REFUSED.get(name, "^$"), str(error)), error
        assert not changed(module, before), "a refusal changes nothing"
        return
    learned = {n for n, p in module.named_parameters() if p.requires_grad}
    assert {n for n in start.left if n in learned} == {
        n for n in learned if any(fnmatchcase(n, pattern) for pattern in kind.stays)
    }
    assert set(start.set) | set(start.left) == {n for n, _ in module.named_parameters()}
    left = {n for n in changed(module, before) if n in start.left}
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


@pytest.mark.parametrize("name", ["he_normal", "orthogonal"])
def test_second_moments_are_what_theory_says(pet, name):
    kind, module = pet
    module = copy.deepcopy(module).eval()
    initialize_(module, init.rule(name), seed=0, leave="*")
    told = {row["parameter"]: row for row in init.describe(module, init.rule(name))}
    layers = 0
    for path, x, out in shown(module, kind.inputs(8)):
        layer = module.get_submodule(path)
        row = told.get(f"{path}.weight")
        if row is None or row["note"] or not float(x.abs().max()) > 0:
            continue  # tied: it is drawn as another layer needs it
        maps = roles(layer, path.rpartition(".")[2])["weight"]
        found = float(out.double().square().mean())
        ratio = found / expected(layer, x, row["variance"])
        # Units are as many draws; fewer count where channels of their own differ in size.
        units = maps.number * maps.shape[0]
        slack = 0.05 + (6 if maps.number == 1 else 12) * sqrt(2 / units)
        assert abs(ratio - 1) < slack, (path, ratio, units)
        layers += 1
    assert layers


def test_a_diagnosis_reads_only(pet, untouched_random_state):
    kind, module = pet
    module = copy.deepcopy(module).train()
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
