"""Two ONNX graphs made into one, the second of which takes what the first gives."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from initlab.live.trace import stripped


def joined(
    first: onnx.ModelProto,
    second: onnx.ModelProto,
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """The graph of both, with inputs and outputs in that order.

    Values are joined by name: an input of `second` is the output of `first` of that name, or else
    an input of the whole. Its other values get names of their own. `second` has no inner graphs.
    """
    a, b = first.graph, second.graph
    known = {v.name: v for v in (*a.input, *b.input)}
    given = {v.name: v for v in (*a.output, *b.output)}
    kept = known.keys() | given.keys()

    def renamed(name: str) -> str:
        return name if not name or name in kept else f"second/{name}"

    nodes = list(a.node)
    for node in b.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for names in (copy.input, copy.output):
            names[:] = [renamed(name) for name in names]
        nodes.append(copy)
    constants = list(a.initializer)
    for constant in b.initializer:
        copy = onnx.TensorProto()
        copy.CopyFrom(constant)
        copy.name = renamed(constant.name)
        constants.append(copy)
    graph = onnx.helper.make_graph(
        nodes, a.name, [known[n] for n in inputs], [given[n] for n in outputs], constants
    )
    functions = {(f.domain, f.name, f.overload): f for f in (*first.functions, *second.functions)}
    opsets = {o.domain: o for o in (*first.opset_import, *second.opset_import)}
    model = onnx.helper.make_model(
        graph, functions=list(functions.values()), opset_imports=list(opsets.values())
    )
    model.ir_version = first.ir_version
    return stripped(model)
