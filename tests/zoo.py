"""35 networks of timm, torchvision, transformers and torch_geometric, made small.

Weights are random, from configurations; each comes with a batch that it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

#: Sides of images, tokens in a text, tokens that there are, nodes of a graph, classes.
SIDE, LENGTH, VOCABULARY, NODES, CLASSES = 32, 12, 40, 20, 5


@dataclass(frozen=True)
class Pet:
    """A network, what goes in, and its targets.

    Attributes:
        make: Builds it.
        inputs: Gives the inputs of a number of examples.
        targets: Gives the targets.
        stays: What no rule is for: class tokens, tables of positions, and the like.
    """

    make: Callable[[], nn.Module]
    inputs: Callable[[int], Any]
    targets: Callable[[int], Tensor]
    stays: tuple[str, ...] = ()


def _g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int) -> Tensor:
    return torch.randn(n, 3, SIDE, SIDE, generator=_g())


def classes(n: int) -> Tensor:
    return torch.randint(CLASSES, (n,), generator=_g(1))


def tokens(n: int) -> Tensor:
    return torch.randint(VOCABULARY, (n, LENGTH), generator=_g(2))


def _both(n: int) -> dict[str, Tensor]:
    return {"input_ids": tokens(n), "decoder_input_ids": tokens(n)}


def _sound(n: int) -> dict[str, Tensor]:
    return {
        "input_features": torch.randn(n, 8, 2 * LENGTH, generator=_g(3)),
        "decoder_input_ids": tokens(n),
    }


def _pixels(n: int) -> dict[str, Tensor]:
    return {"pixel_values": images(n)}


def timm(name: str, **more: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import timm

        return timm.create_model(name, num_classes=CLASSES, **more)

    return make


def mixer(*parts: str) -> Callable[[], nn.Module]:
    """An MLP-Mixer of two blocks, of these kinds of block and normalization."""

    def make() -> nn.Module:
        from timm.models import mlp_mixer

        given = zip(("block_layer", "norm_layer"), parts, strict=False)
        kinds = {name: getattr(mlp_mixer, part) for name, part in given}
        sizes = {"img_size": SIDE, "patch_size": 8, "num_blocks": 2, "embed_dim": 48}
        ratio = {"mlp_ratio": 4} if parts else {}
        return mlp_mixer.MlpMixer(CLASSES, **sizes, **kinds, **ratio)

    return make


def vision(name: str, **more: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision

        return attrgetter(name)(torchvision.models)(num_classes=CLASSES, **more)

    return make


def hugging(model: str, config: str, **more: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import transformers as T

        return getattr(T, model)(getattr(T, config)(**more))

    return make


def geometric(name: str) -> Callable[[], nn.Module]:
    class Graphs(nn.Module):
        """Classifies the nodes of one graph."""

        def __init__(self) -> None:
            super().__init__()
            import torch_geometric.nn as G

            self.body = getattr(G, name)(6, 16, num_layers=2, out_channels=CLASSES)
            edges = torch.randint(NODES, (2, 3 * NODES), generator=_g(4))
            self.register_buffer("edges", edges)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x, self.edges)

    return Graphs


def _nodes(n: int) -> Tensor:
    return torch.randn(NODES, 6, generator=_g(5))


def _node_classes(n: int) -> Tensor:
    return torch.randint(CLASSES, (NODES,), generator=_g(6))


#: Sizes by the names that configurations of transformers have for them.
D, HEADS, DEPTH, FEED = 32, 2, 2, 64
_GPT = {"vocab_size": VOCABULARY, "n_embd": D, "n_layer": DEPTH, "n_head": HEADS, "n_positions": 16}
_USUAL = {
    "vocab_size": VOCABULARY,
    "hidden_size": D,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": HEADS,
    "intermediate_size": FEED,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
_KV = {"num_key_value_heads": HEADS}
_SEQUENCE = {
    "vocab_size": VOCABULARY,
    "d_model": D,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": FEED,
    "decoder_ffn_dim": FEED,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
_VIT = {"img_size": SIDE, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
_TOKEN = ("cls_token", "pos_embed")
_AFFINE = ("*.alpha", "*.beta")

ZOO: dict[str, Pet] = {
    # timm
    "vit": Pet(timm("vit_tiny_patch16_224", **_VIT), images, classes, _TOKEN),
    "deit distilled": Pet(
        timm("deit_tiny_distilled_patch16_224", **_VIT), images, classes, (*_TOKEN, "dist_token")
    ),
    "cait": Pet(
        timm("cait_xxs24_224", **(_VIT | {"depth": 2, "num_heads": 4})),
        images,
        classes,
        (*_TOKEN, "*gamma_1", "*gamma_2"),
    ),
    "swin": Pet(
        timm(
            "swin_tiny_patch4_window7_224", img_size=SIDE, window_size=4, embed_dim=24,
            depths=(2, 2), num_heads=(2, 4),
        ),
        images, classes, ("*relative_position_bias_table",),
    ),
    "convnext of timm": Pet(
        timm("convnext_atto", depths=(1, 1, 2, 1), dims=(8, 16, 32, 64)), images, classes,
        ("*gamma",),
    ),
    "resnet of timm": Pet(timm("resnet10t", channels=(16, 32, 64, 128)), images, classes),
    "mobilenetv3": Pet(timm("mobilenetv3_small_050"), images, classes),
    "regnet": Pet(timm("regnetx_002"), images, classes),
    "mixer": Pet(mixer(), images, classes),
    "resmlp": Pet(mixer("ResBlock", "Affine"), images, classes, ("*.ls1", "*.ls2", *_AFFINE)),
    "nfnet": Pet(timm("nf_resnet26"), images, classes, ("*.gain",)),
    # torchvision
    "resnet18": Pet(vision("resnet18"), images, classes),
    "mobilenet_v2": Pet(vision("mobilenet_v2", width_mult=0.25), images, classes),
    "squeezenet": Pet(vision("squeezenet1_1"), images, classes),
    "shufflenet": Pet(vision("shufflenet_v2_x0_5"), images, classes),
    "vit of torchvision": Pet(
        vision(
            "VisionTransformer", image_size=SIDE, patch_size=8, num_layers=2, num_heads=2,
            hidden_dim=32, mlp_dim=64,
        ),
        images, classes, ("class_token", "encoder.pos_embedding"),
    ),
    "mnasnet": Pet(vision("mnasnet0_5"), images, classes),
    "lraspp": Pet(
        vision("segmentation.lraspp_mobilenet_v3_large", weights_backbone=None), images,
        lambda n: torch.randint(CLASSES, (n, SIDE, SIDE), generator=_g(7)),
    ),
    # transformers
    "gpt2": Pet(hugging("GPT2LMHeadModel", "GPT2Config", **_GPT), tokens, tokens),
    "gpt neox": Pet(hugging("GPTNeoXForCausalLM", "GPTNeoXConfig", **_USUAL), tokens, tokens),
    "opt": Pet(
        hugging(
            "OPTForCausalLM", "OPTConfig", **_USUAL, ffn_dim=FEED, word_embed_proj_dim=D,
        ),
        tokens, tokens,
    ),
    "llama": Pet(hugging("LlamaForCausalLM", "LlamaConfig", **_USUAL, **_KV), tokens, tokens),
    "gemma": Pet(
        hugging("GemmaForCausalLM", "GemmaConfig", **_USUAL, **_KV, head_dim=D // HEADS), tokens,
        tokens,
    ),
    "mixtral": Pet(
        hugging("MixtralForCausalLM", "MixtralConfig", **_USUAL, **_KV, num_local_experts=4),
        tokens, tokens, ("*.gate.weight",),
    ),
    "bert": Pet(hugging("BertForMaskedLM", "BertConfig", **_USUAL), tokens, tokens),
    "distilbert": Pet(
        hugging(
            "DistilBertForMaskedLM", "DistilBertConfig", vocab_size=VOCABULARY, dim=D,
            n_layers=DEPTH, n_heads=HEADS, hidden_dim=FEED,
        ),
        tokens, tokens,
    ),
    "t5": Pet(
        hugging(
            "T5ForConditionalGeneration", "T5Config", vocab_size=VOCABULARY, d_model=D,
            d_kv=D // HEADS, d_ff=FEED, num_layers=DEPTH, num_heads=HEADS,
            decoder_start_token_id=0,
        ),
        _both, tokens,
    ),
    "bart": Pet(
        hugging("BartForConditionalGeneration", "BartConfig", **_SEQUENCE), _both, tokens
    ),
    "whisper": Pet(
        hugging(
            "WhisperForConditionalGeneration", "WhisperConfig", **_SEQUENCE, num_mel_bins=8,
            max_source_positions=LENGTH, max_target_positions=32,
        ),
        _sound, tokens,
    ),
    "vit of transformers": Pet(
        hugging(
            "ViTForImageClassification", "ViTConfig", image_size=SIDE, patch_size=8,
            hidden_size=D, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
            intermediate_size=FEED, num_labels=CLASSES,
        ),
        _pixels, classes,
        ("*cls_token", "*position_embeddings"),
    ),
    "mamba": Pet(
        hugging(
            "MambaForCausalLM", "MambaConfig", vocab_size=VOCABULARY, hidden_size=D,
            num_hidden_layers=DEPTH, state_size=4,
        ),
        tokens, tokens, ("*.A_log", "*.D"),
    ),
    # torch_geometric
    "gcn": Pet(geometric("GCN"), _nodes, _node_classes),
    "gat": Pet(geometric("GAT"), _nodes, _node_classes, ("*.att_src", "*.att_dst")),
    "sage": Pet(geometric("GraphSAGE"), _nodes, _node_classes),
    "gin": Pet(geometric("GIN"), _nodes, _node_classes),
}  # fmt: skip
