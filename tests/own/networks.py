"""Networks that people have, none of them this package's, each with data to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initlab import CrossEntropy, MeanSquaredError, Network, Tensors
from initlab.train import Loss


class PlainMLP(nn.Module):
    """Fully connected, as one writes it."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, width), nn.Linear(width, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


class SmallCNN(nn.Module):
    """Convolutions with batch normalization."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, stride=2),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def resnet() -> nn.Module:
    """torchvision's, one block to a stage, without its fourth, which has most of the weights."""
    from torchvision.models.resnet import BasicBlock, ResNet

    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=4)
    network.layer4, network.fc = nn.Identity(), nn.Linear(256, 4)
    return network


def vit() -> nn.Module:
    """timm's tiny vision transformer on small images."""
    import timm

    return timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=8, depth=2, num_classes=4
    )


class SequenceLSTM(nn.Module):
    """A classifier of sequences of tokens."""

    def __init__(self, tokens: int = 20, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(self.embedding(x))
        return self.head(out[:, -1])


class GraphNet(nn.Module):
    """Dense graph convolutions of torch_geometric: two inputs by name, a mean over the nodes."""

    def __init__(self, features: int = 5, width: int = 16) -> None:
        super().__init__()
        from torch_geometric.nn import DenseGCNConv

        self.first, self.second = DenseGCNConv(features, width), DenseGCNConv(width, width)
        self.head = nn.Linear(width, 4)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        h = torch.tanh(self.first(nodes, edges))
        return self.head(torch.tanh(self.second(h, edges)).mean(1))


@dataclass
class Told:
    """What the language model gives out."""

    logits: Tensor
    hidden: Tensor


class TinyGPT(nn.Module):
    """A causal transformer whose head is tied to its embedding; a frozen table of positions."""

    def __init__(self, tokens: int = 17, width: int = 16, depth: int = 2, length: int = 12) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, width)
        self.places = nn.Embedding(length, width)
        self.places.weight.requires_grad_(False)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, 2, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
                norm_first=True,
            )
            for _ in range(depth)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("mask", torch.full((length, length), -torch.inf).triu(1))

    def forward(self, x: Tensor) -> Told:
        h = 0.1 * (self.tokens(x) + self.places.weight)
        for block in self.blocks:
            h = block(h, src_mask=self.mask)
        h = self.norm(h)
        return Told(self.head(h), h)


class DropoutRegression(nn.Module):
    """A regression with Dropout."""

    def __init__(self, rate: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(rate), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@dataclass(frozen=True)
class Case:
    """A network, data, a loss, a plain loop's loss, and a rate at which training is tame."""

    network: Network
    data: Tensors
    loss: Loss
    plain: Any
    rate: float = 0.01


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _tokens(most: int, *shape: int) -> Tensor:
    return torch.randint(most, shape, generator=torch.Generator().manual_seed(1))


def _split(x: Any, y: Tensor, n: int = 48, m: int = 12) -> Tensors:
    def cut(first: int, last: int) -> tuple[Any, Tensor]:
        if isinstance(x, dict):
            return {name: t[first:last] for name, t in x.items()}, y[first:last]
        return x[first:last], y[first:last]

    return Tensors(train=cut(0, n), val=cut(n, n + m), test=cut(n + m, n + 2 * m))


def _sequence_loss(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out.flatten(0, 1), y.flatten())


def cases() -> dict[str, Case]:
    """All of them by name."""
    N = 72
    classes = _tokens(4, N)
    images = _noise(N, 3, 16, 16)
    adjacency = (_noise(N, 7, 7, seed=2) > 0.5).float()
    adjacency = torch.maximum(adjacency, adjacency.mT)
    text = _tokens(17, N, 13)
    features = _noise(N, 6)
    return {
        "mlp": Case(
            Network(PlainMLP, width=24),
            _split(_noise(N, 16), classes),
            CrossEntropy(),
            F.cross_entropy,
            0.05,
        ),
        "cnn with batch norm": Case(
            Network(SmallCNN), _split(images, classes), CrossEntropy(), F.cross_entropy, 0.02
        ),
        "resnet of torchvision": Case(
            Network(resnet), _split(images, classes), CrossEntropy(), F.cross_entropy, 1e-4
        ),
        "vit of timm": Case(
            Network(vit), _split(images, classes), CrossEntropy(), F.cross_entropy, 0.002
        ),
        "lstm": Case(
            Network(SequenceLSTM),
            _split(_tokens(20, N, 9), classes),
            CrossEntropy(),
            F.cross_entropy,
            0.05,
        ),
        "graph network of torch_geometric": Case(
            Network(GraphNet),
            _split({"nodes": _noise(N, 7, 5), "edges": adjacency}, classes),
            CrossEntropy(),
            F.cross_entropy,
            0.05,
        ),
        "gpt with a tied head": Case(
            Network(TinyGPT),
            _split(text[:, :-1], text[:, 1:]),
            CrossEntropy(),
            _sequence_loss,
            0.02,
        ),
        "regression with dropout": Case(
            Network(DropoutRegression),
            _split(features, features[:, :2].sum(1) + 0.1 * _noise(N, seed=3)),
            MeanSquaredError(),
            lambda out, y: F.mse_loss(out.squeeze(-1), y),
            0.02,
        ),
    }
