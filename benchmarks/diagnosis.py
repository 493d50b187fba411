"""What `diagnose` costs: with all its parts, beside one training step on the same batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness import compared, interleaved
from benchmarks.own import CLASSES, PlainMLP
from initlab import diagnose

#: Of the language model.
TOKENS, TEXT = 1000, 64


def mlp(generator: torch.Generator) -> tuple[nn.Module, Tensor, Tensor]:
    """A plain network on a batch of vectors."""
    x = torch.randn(256, 64, generator=generator)
    return PlainMLP(256), x, torch.randint(CLASSES, (256,), generator=generator)


def resnet(generator: torch.Generator) -> tuple[nn.Module, Tensor, Tensor]:
    """torchvision's ResNet-18 on small images."""
    from torchvision.models import resnet18

    x = torch.randn(32, 3, 64, 64, generator=generator)
    return resnet18(num_classes=CLASSES), x, torch.randint(CLASSES, (32,), generator=generator)


def gpt2(generator: torch.Generator) -> tuple[nn.Module, Tensor, Tensor]:
    """GPT-2 of transformers, four blocks of it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=TOKENS, n_positions=TEXT, n_embd=128, n_layer=4, n_head=4)
    x = torch.randint(TOKENS, (8, TEXT), generator=generator)
    return GPT2LMHeadModel(config), x, x.roll(-1, 1)


NETWORKS: dict[str, Callable[[torch.Generator], tuple[nn.Module, Tensor, Tensor]]] = {
    "MLP 64-256-256-10, 256 vectors": mlp,
    "ResNet-18 of torchvision, 32 images of 64 × 64": resnet,
    "GPT-2 of transformers, 4 blocks of width 128, 8 texts of 64": gpt2,
}


def diagnosis(rounds: int) -> list[dict[str, Any]]:
    """Seconds of a training step with Adam and of a diagnosis, and their ratio, by network."""
    rows = []
    for name, make in NETWORKS.items():
        module, x, y = make(torch.Generator().manual_seed(0))
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-4)

        def step(module=module, x=x, y=y, optimizer=optimizer) -> int:
            optimizer.zero_grad()
            out = module(x)
            out = getattr(out, "logits", out)
            F.cross_entropy(out.flatten(0, -2), y.flatten()).backward()
            optimizer.step()
            return 1

        def look(module=module, x=x, y=y) -> int:
            diagnose(module, (x, y), optimizer=torch.optim.Adam)
            return 1

        rates = interleaved({"step": step, "diagnose": look}, rounds)
        found = compared(rates["step"], rates["diagnose"])
        rows.append(
            {
                "network": name,
                "step": 1 / found["ours"],
                "diagnose": 1 / found["theirs"],
                "steps": found["ratio"],
                "spread": found["spread"],
                "rounds": found["rounds"],
            }
        )
    return rows
