"""ONNX graphs made of others: one after another, and one again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def repeated(step: onnx.ModelProto, each: Sequence[str]) -> onnx.ModelProto:
    """The graph of as many steps as `each` has entries along a new first axis.

    The inputs of `step` before those of `each` are its state, and its first outputs the next one.
    Its other outputs are stacked along that axis; its other inputs are the same in every step.
    A call of a graph copies all parameters, in a browser for as long as a step takes.
    """
    given, told = list(step.graph.input), list(step.graph.output)
    states = [v.name for v in given].index(each[0])
    changing = {v.name for v in given[:states]} | set(each)
    same = {v.name for v in given} - changing
    inner = _renamed(step.graph, lambda n: n if not n or n in same else f"step/{n}")
    entering = [v for v in inner.input if v.name not in same]
    body = onnx.helper.make_graph(
        inner.node, "step", entering, inner.output, list(inner.initializer)
    )
    node = onnx.helper.make_node(
        "Scan",
        [v.name for v in given if v.name in changing],
        [v.name for v in told],
        body=body,
        num_scan_inputs=len(each),
    )
    inputs = [_many(v) if v.name in each else v for v in given]
    outputs = [*told[:states], *map(_many, told[states:])]
    graph = onnx.helper.make_graph([node], step.graph.name, inputs, outputs)
    assert not step.functions
    model = onnx.helper.make_model(graph, opset_imports=step.opset_import)
    model.ir_version = step.ir_version
    return stripped(model)


def _renamed(graph: onnx.GraphProto, name: Callable[[str], str]) -> onnx.GraphProto:
    """A copy with other names of values, also in graphs within."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    for value in (*copy.input, *copy.output, *copy.initializer):
        value.name = name(value.name)
    for node in copy.node:
        for names in (node.input, node.output):
            names[:] = [name(n) for n in names]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                attribute.g.CopyFrom(_renamed(attribute.g, name))
    return copy


def _many(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The value with an axis of the steps before its others."""
    kind = value.type.tensor_type
    axes = [
        d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in kind.shape.dim
    ]
    return onnx.helper.make_tensor_value_info(value.name, kind.elem_type, ["steps", *axes])
