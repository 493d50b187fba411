"""One PyTorch function → one ONNX graph whose dimensions are those of its inputs at run time.

What stands here works around what torch 2.14's exporter cannot do, or does wrongly without a word;
`tests/live` holds every graph against its function.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import onnx
import torch
from onnxscript import opset18 as op
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from initlab.live import network

# A scan that gives nothing but its end leads to warnings of empty attributes, which may be empty.
logging.getLogger("onnx_ir").setLevel(logging.ERROR)

#: Inputs of a function: name → (an example, names of the axes that are free).
Inputs = dict[str, tuple[Tensor, Sequence[str | None]]]

#: Smallest sizes of the free axes where they are not the exporter's own, 2: K edges enclose K − 1
#: bins, of which it wants two.
LEAST = {"K": 3}
#: Largest sizes of the free axes.
LARGEST = {"R": 64, "D": 1024, "n": 4096, "i": 4096, "B": 65536, "K": 4096}


def graph(function: Callable[..., Any], inputs: Inputs, outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph of `function`, which takes tensors by position and gives a tuple of them.

    Axes of one name have one size. The traced function holds for other sizes as long as it does
    not ask for them; a size of one may be given, too, where the example has more.
    """
    examples = tuple(example for example, _ in inputs.values())
    dims = {
        name: torch.export.Dim(name, min=LEAST.get(name, 2), max=most)
        for name, most in LARGEST.items()
    }
    free = tuple(
        {axis: dims[name] for axis, name in enumerate(axes) if name is not None}
        for _, axes in inputs.values()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecations within torch
        # torch.export alone fails on gradients; it takes them as traced by make_fx. The table
        # takes cross_entropy apart, whose exported gradient is wrong otherwise.
        with network.rolled():
            traced = make_fx(
                function,
                tracing_mode="symbolic",
                decomposition_table=dict(core_aten_decompositions()),
            )(*examples)
        _without_aliases(traced)
        program = torch.export.export(
            _Module(traced), examples, dynamic_shapes=(free,), strict=False
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=list(inputs),
            output_names=list(outputs),
            custom_translation_table={torch.ops.aten.sym_stride.int: _stride},
        )
    assert exported is not None
    return stripped(exported.model_proto)


class _Module(torch.nn.Module):
    def __init__(self, traced: GraphModule) -> None:
        super().__init__()
        self.traced = traced

    def forward(self, *inputs: Tensor) -> Any:
        return self.traced(*inputs)


def _stride(self, dim: int):
    # Of a contiguous tensor, and the graph's are: the product of the sizes after that axis.
    return op.ReduceProd(op.Shape(self, start=dim + 1), keepdims=0)


def _without_aliases(traced: GraphModule) -> None:
    """Copy what the body of a scan gives back twice, or gives back as it came: it may not."""
    for module in traced.modules():
        if module is traced or not isinstance(module, GraphModule):
            continue
        [out] = [node for node in module.graph.nodes if node.op == "output"]
        given, seen = [], set()
        for node in out.args[0]:
            if isinstance(node, Node) and (node in seen or node.op == "placeholder"):
                with module.graph.inserting_before(out):
                    copy = module.graph.call_function(torch.ops.aten.clone.default, (node,))
                copy.meta = dict(node.meta)
                node = copy
            seen.add(node)
            given.append(node)
        out.args = (type(out.args[0])(given),)
        module.recompile()


def stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what only people read; two exports of one function are then equal."""

    def strip(graph: onnx.GraphProto) -> None:
        for field in ("value_info", "metadata_props", "doc_string"):
            graph.ClearField(field)
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.ClearField("metadata_props")
            value.ClearField("doc_string")
        for node in graph.node:
            for field in ("metadata_props", "doc_string", "name"):
                node.ClearField(field)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    strip(attribute.g)

    model.ClearField("metadata_props")
    strip(model.graph)
    for function in model.functions:
        for field in ("value_info", "metadata_props", "doc_string"):
            function.ClearField(field)
        for node in function.node:
            node.ClearField("metadata_props")
    onnx.checker.check_model(model)
    return model
