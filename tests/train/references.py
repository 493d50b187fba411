"""What every optimizer is held to: another program that takes its steps on one network."""

from __future__ import annotations

import torch
from torch import Tensor

from initlab.train import LARS, SGD, Adam, AdamW, Lion, Muon

#: Parameters of the network that they step on.
SHAPES = {
    "first.weight": (4, 3),
    "first.bias": (4,),
    "conv.weight": (2, 3, 3, 3),
    "gain": (),
    "tall.weight": (7, 4),
    "wide.weight": (3, 5),
    "head.weight": (2, 4),
}
#: What Muon is to take for hidden matrices.
HIDDEN = ("conv.weight", "tall.weight", "wide.weight")


class Plain:
    """A reference for each parameter alone, from `one(w, g, state)`, which gives the new w."""

    def __init__(self, params: dict[str, Tensor]) -> None:
        self.params, self.state = params, {name: {} for name in params}

    def step(self) -> None:
        for name, p in self.params.items():
            p.data.copy_(self.one(p.data, p.grad, self.state[name]))


class PlainLARS(Plain):
    """You et al. 2017: w ← w − v, v ← m v + γ η ‖w‖ / (‖g‖ + β‖w‖) (g + β w), tensor by tensor."""

    def __init__(self, o: LARS, params: dict[str, Tensor]) -> None:
        super().__init__(params)
        self.o = o

    def one(self, w, g, state):
        o, rate = self.o, self.o.lr
        if w.dim() > 1:
            rate = o.lr * o.trust * w.norm() / (g.norm() + o.weight_decay * w.norm())
            g = g + o.weight_decay * w
        state["v"] = o.momentum * state.get("v", 0) + rate * g
        return w - state["v"]


class PlainLion(Plain):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, o: Lion, params: dict[str, Tensor]) -> None:
        super().__init__(params)
        self.o = o

    def one(self, w, g, state):
        o, m = self.o, state.get("m", torch.zeros_like(w))
        c = o.beta1 * m + (1 - o.beta1) * g
        state["m"] = o.beta2 * m + (1 - o.beta2) * g
        return w - o.lr * (torch.sign(c) + o.weight_decay * w)


class TorchMuon:
    """`torch.optim.Muon` on flattened hidden matrices, in float32; AdamW on all else."""

    def __init__(self, o: Muon, params: dict[str, Tensor]) -> None:
        self.hidden = {
            p: p.detach().flatten(1).requires_grad_() for n, p in params.items() if n in HIDDEN
        }
        self.muon = torch.optim.Muon(
            self.hidden.values(),
            lr=o.lr,
            weight_decay=o.weight_decay,
            momentum=o.momentum,
            nesterov=o.nesterov,
            ns_steps=o.ns_steps,
            adjust_lr_fn=o.adjust_lr,
        )
        others = [p for n, p in params.items() if n not in HIDDEN]
        betas = o.beta1, o.beta2
        self.adam = torch.optim.AdamW(others, o.adam_lr, betas, o.eps, o.weight_decay)

    def step(self) -> None:
        for p, flat in self.hidden.items():
            flat.grad = p.grad.flatten(1)
        self.muon.step()
        self.adam.step()


def torch_sgd(o: SGD, params: dict[str, Tensor]):
    return torch.optim.SGD(
        params.values(), o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.nesterov
    )


def torch_adam(o: Adam, params: dict[str, Tensor]):
    make = torch.optim.AdamW if o.decoupled else torch.optim.Adam
    return make(params.values(), o.lr, (o.beta1, o.beta2), o.eps, o.weight_decay)


#: Optimizers of one family with numbers of their own, and the reference of each.
CASES = {
    "sgd": ([SGD(0.1), SGD(0.01), SGD(0.2)], torch_sgd),
    "L2": ([SGD(0.1), SGD(0.1, weight_decay=0.1), SGD(0.2, weight_decay=0.01)], torch_sgd),
    "momentum and L2": (
        [SGD(0.02), SGD(0.1, momentum=0.9, weight_decay=0.01), SGD(0.3, momentum=0.5)],
        torch_sgd,
    ),
    "nesterov": (
        [SGD(0.1, momentum=m, nesterov=True, weight_decay=0.01) for m in (0.9, 0.5, 0.1)],
        torch_sgd,
    ),
    "adam": (
        [Adam(0.01), Adam(0.1, beta1=0.5, beta2=0.9), Adam(0.02, eps=1e-3, weight_decay=0.1)],
        torch_adam,
    ),
    "adamw": ([AdamW(0.01), AdamW(0.1, weight_decay=0.5), AdamW(weight_decay=0.0)], torch_adam),
    "lars": (
        [
            LARS(1.0, momentum=0.9, weight_decay=0.01, trust=0.02),
            LARS(0.5, trust=0.1),
            LARS(momentum=0.0),
        ],
        PlainLARS,
    ),
    "lion": (
        [Lion(0.01), Lion(0.001, weight_decay=0.3), Lion(0.02, beta1=0.5, beta2=0.9)],
        PlainLion,
    ),
    "muon": ([Muon(), Muon(0.1, 0.5, weight_decay=0.1), Muon(adam_lr=0.01, beta2=0.8)], TorchMuon),
    "muon without nesterov": (
        [Muon(lr, nesterov=False, adjust_lr="match_rms_adamw") for lr in (0.1, 0.02, 0.01)],
        TorchMuon,
    ),
    "muon, spectral": (
        [Muon(lr, ns_steps=3, adjust_lr="spectral_unclamped") for lr in (0.1, 0.02, 0.01)],
        TorchMuon,
    ),
}
