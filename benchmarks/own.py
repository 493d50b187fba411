"""Networks that users bring, none of them this package's, and what each of them learns here.

They are written as one writes them, in realistic small sizes, with data of which only the shape
matters for time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cases import CLASSES, Training
from initlab import CrossEntropy, MeanSquaredError, Network
from initlab.train import Loss

#: Of the sequence classifier and the language model.
TOKENS, LENGTH, TEXT = 50, 32, 64


class PlainMLP(nn.Module):
    """Fully connected, on vectors of 64 numbers as those of the digits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, width), nn.Linear(width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.relu(self.first(x)))))


class SmallCNN(nn.Module):
    """Convolutions with batch normalization on images of 16 × 16."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1, stride=2, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, stride=2, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * channels, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def resnet() -> nn.Module:
    """torchvision's, one block to a stage."""
    from torchvision.models.resnet import BasicBlock, ResNet

    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)


def vit() -> nn.Module:
    """timm's tiny vision transformer, four blocks of it."""
    import timm

    return timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=4, num_classes=CLASSES
    )


class SequenceLSTM(nn.Module):
    """A classifier of sequences of tokens."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(self.embedding(x))
        return self.head(out[:, -1])


class GraphNet(nn.Module):
    """torch_geometric's convolutions of dense graphs, and a mean over the nodes."""

    def __init__(self, features: int = 16, width: int = 64) -> None:
        super().__init__()
        from torch_geometric.nn import DenseGCNConv

        self.first, self.second = DenseGCNConv(features, width), DenseGCNConv(width, width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        h = F.relu(self.first(nodes, edges))
        return self.head(F.relu(self.second(h, edges)).mean(1))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each after a normalization."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        B, T, W = h.shape
        q, k, v = self.qkv(self.norm1(h)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.proj(mixed.transpose(1, 2).reshape(B, T, W))
        return h + self.down(F.gelu(self.up(self.norm2(h))))


class SmallGPT(nn.Module):
    """A language model whose head is tied to its embedding.

    Batches are as nanoGPT takes them on a processor: 12 texts of 64 tokens.
    """

    def __init__(self, width: int = 64, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(TOKENS, width), nn.Embedding(TEXT, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, TOKENS, bias=False)
        self.head.weight = self.tokens.weight
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.tokens(x) + self.places.weight)))


class DropoutRegression(nn.Module):
    """A regression with Dropout."""

    def __init__(self, width: int = 64, rate: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(16, width), nn.ReLU(), nn.Dropout(rate),
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(rate),
            nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _noise(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda N, generator: torch.randn(N, *shape, generator=generator)


def _whole(most: int, *shape: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda N, generator: torch.randint(most, (N, *shape), generator=generator)


def _graphs(N: int, generator: torch.Generator) -> dict[str, Tensor]:
    edges = (torch.randn(N, 16, 16, generator=generator) > 0.5).float()
    nodes = torch.randn(N, 16, 16, generator=generator)
    return {"nodes": nodes, "edges": torch.maximum(edges, edges.mT)}


def called(module: Callable[..., Tensor], x: Any) -> Tensor:
    """A module on inputs, which may be a mapping."""
    return module(**x) if isinstance(x, dict) else module(x)


def picked(x: Any, chosen: Tensor) -> Any:
    """Some samples of inputs, which may be a mapping."""
    return {n: t[chosen] for n, t in x.items()} if isinstance(x, dict) else x[chosen]


def mean_cross_entropy(out: Tensor, y: Tensor) -> Tensor:
    """Of classes, or of the next tokens of sequences."""
    return F.cross_entropy(out.flatten(0, -2), y.flatten())


def mean_squared_error(out: Tensor, y: Tensor) -> Tensor:
    """Of a network with one output."""
    return F.mse_loss(out.squeeze(-1), y)


VECTORS, CLASSES_OF, CROSS_ENTROPY = _noise(64), _whole(CLASSES), CrossEntropy()


@dataclass(frozen=True)
class OwnTraining(Training):
    """Some epochs of SGD with momentum by networks that a user has written.

    `inputs` and `targets` make N samples from a generator; `loss` is ours, and `plain` the same as
    a function of outputs and targets. Where processes are started (`initlab.run`) the networks go
    over the samples `passes` times, for about ten seconds of work.
    """

    inputs: Callable[[int, torch.Generator], Any] = VECTORS
    targets: Callable[[int, torch.Generator], Tensor] = CLASSES_OF
    passes: int = 4
    loss: Loss = CROSS_ENTROPY
    plain: Callable[[Tensor, Tensor], Tensor] = mean_cross_entropy

    def data(self) -> tuple[Any, Tensor]:
        """Inputs of N samples, a tensor or a mapping of them, and targets."""
        generator = torch.Generator().manual_seed(2)
        return self.inputs(self.samples, generator), self.targets(self.samples, generator)

    def start(self) -> dict[str, Tensor]:
        """Parameters and buffers, (networks, *shape) each, as the modules are built."""
        built = [self.model.build(seed=r) for r in range(self.networks)]
        found = [dict(m.named_parameters()) | dict(m.named_buffers()) for m in built]
        return {n: torch.stack([f[n].detach() for f in found]) for n in found[0]}


def _of(letter: str, title: str, network: Network, **more: Any) -> OwnTraining:
    given = {"networks": 32, "few": 4, "samples": 1024, "batch": 64, "momentum": 0.9}
    return OwnTraining(letter, title, network, **(given | more))


OWN: dict[str, OwnTraining] = {
    case.letter: case
    for case in (
        _of("f", "32 MLPs 64-128-128-10", Network(PlainMLP, width=128), samples=2048, passes=40),
        _of("g", "32 MLPs 64-256-256-10", Network(PlainMLP, width=256), samples=2048, passes=20),
        _of("h", "32 CNNs with BatchNorm", Network(SmallCNN), inputs=_noise(3, 16, 16)),
        _of(
            "i", "8 ResNets of torchvision", Network(resnet), inputs=_noise(3, 32, 32),
            networks=8, few=2, samples=512, lr=0.001, passes=2,
        ),
        _of(
            "j", "8 tiny ViTs of timm", Network(vit), inputs=_noise(3, 32, 32),
            networks=8, few=2, samples=512, passes=2,
        ),
        _of("k", "32 LSTM classifiers", Network(SequenceLSTM), inputs=_whole(TOKENS, LENGTH)),
        _of(
            "l", "32 graph networks of torch_geometric", Network(GraphNet), inputs=_graphs,
            passes=20,
        ),
        _of(
            "m", "32 GPTs with a tied head", Network(SmallGPT), inputs=_whole(TOKENS, TEXT),
            targets=_whole(TOKENS, TEXT), samples=252, batch=12,
        ),
        _of(
            "n", "32 regressions with Dropout", Network(DropoutRegression), inputs=_noise(16),
            targets=_noise(), loss=MeanSquaredError(), plain=mean_squared_error, samples=2048,
            passes=40,
        ),
    )
}  # fmt: skip
