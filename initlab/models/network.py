"""A user's own network as a value."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from initlab.generator import drawing_from
from initlab.imported import Imported, SourceError, carried, named, received, resolve
from initlab.spec import is_spec, spec

#: Names under which an output holds the logits, where it is no tensor itself.
PICKED = ("logits", "last_hidden_state")


@spec
class Options:
    """A mapping as an argument of a network: its names and values."""

    items: tuple[Any, ...]


@spec
class Network:
    """A network that somebody else wrote: an importable class or function, and its arguments.

    Any `nn.Module` will do: with several inputs, with buffers, with BatchNorm and Dropout, with
    tied and with frozen parameters. What it computes is part of the value through `source` (see
    `initlab.imported`), so that a result is never taken for that of another version of the code.

    >>> net = Network(nn.Linear, in_features=4, out_features=2)
    >>> net.build("meta").weight.shape
    torch.Size([2, 4])
    >>> net == Network("torch.nn:Linear", in_features=4, out_features=2)
    True
    """

    factory: str
    arguments: tuple[Any, ...]
    source: str
    output: str | None

    def __init__(self, factory: Callable[..., nn.Module] | str, /, **arguments: Any) -> None:
        """Name a network; nothing is built.

        Args:
            factory: A class or function that returns an `nn.Module`, or its name as text,
                `"package.module:Name"`. One that a notebook defines will do, too.
            **arguments: What it is called with: numbers, texts, tuples and mappings of them,
                classes and functions, and values of this package.

        Raises:
            ValueError: If the factory cannot be found or its source cannot be read, or an argument
                is none of these.
        """
        name, source = named(factory)
        plain = tuple((key, _plain(key, arguments[key])) for key in sorted(arguments))
        self._set(name, plain, source, None)

    def _set(self, factory: str, arguments: tuple, source: str, output: str | None) -> None:
        given = {"factory": factory, "arguments": arguments, "source": source, "output": output}
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_fields(
        cls,
        factory: str,
        source: str,
        arguments: tuple = (),
        output: str | None = None,
    ) -> Network:
        """The value with these fields, as `initlab.spec.from_plain` reads them."""
        made = object.__new__(cls)
        made._set(factory, tuple((name, value) for name, value in arguments), source, output)
        return made

    def __reduce__(self) -> tuple:
        """What another process needs: with the code itself where no import finds it."""
        code = carried(self.factory, self.source)
        return _network, (self.factory, self.source, self.arguments, self.output, code)

    def picking(self, output: str) -> Network:
        """The network whose logits are this attribute, key or place of what it gives out.

        Args:
            output: A name, or a number as text for a place in a tuple; parts joined by dots.

        Without it the logits are the output itself, else what it holds under `logits`, else its
        first entry.
        """
        return Network.from_fields(self.factory, self.source, self.arguments, output)

    @property
    def label(self) -> str:
        """The name of the factory, for a column of a frame."""
        return self.factory.rpartition(":")[2].rpartition(".")[2]

    def columns(self) -> dict[str, Any]:
        """The arguments, for columns of a frame."""
        return {name: _shown(value) for name, value in self.arguments}

    def build(self, device: str | torch.device = "cpu", seed: int = 0) -> nn.Module:
        """The network, as its factory starts it from `seed`.

        Args:
            device: Where it lies; on "meta" it has no values.
            seed: Of PyTorch's global generator while the factory runs, which is put back after.

        Raises:
            ValueError: If the factory cannot be found any more or has changed, or if it gives
                anything but a module.
        """
        device = torch.device(device)
        factory = resolve(self.factory, self.source)
        with drawing_from(seed, torch.device("cpu")):
            on_meta = device.type == "meta"
            made = self._on_meta(factory) if on_meta else factory(**self._given())
        if not isinstance(made, nn.Module):
            raise ValueError(
                f"{self.factory} must give a torch module, not {type(made).__name__}; write a "
                "function that returns the network"
            )
        return made.to(device)

    def _on_meta(self, factory: Callable[..., Any]) -> Any:
        try:
            with torch.device("meta"):
                return factory(**self._given())
        except Exception:  # it asks for numbers while it is built: built with numbers, then
            return factory(**self._given())

    def _given(self) -> dict[str, Any]:
        return {name: _argument(value) for name, value in self.arguments}

    def logits(self, out: Any) -> Tensor:
        """The logits in what the network gives out; see `picking`.

        Raises:
            ValueError: If there are none.
        """
        return logits(out, self.output, self.label)


def logits(out: Any, picked: str | None = None, label: str = "the network") -> Tensor:
    """The logits in what a network gives out.

    Args:
        out: A tensor, or something that holds one.
        picked: Where they are: names and places joined by dots; by default under `logits`, else the
            first entry.
        label: How an error calls the network.

    Raises:
        ValueError: If there are none.
    """
    if picked is not None:
        for part in picked.split("."):
            out = _part(out, part)
    elif not isinstance(out, Tensor):
        out = _logits(out)
    if not isinstance(out, Tensor):
        raise ValueError(
            f"{label} gives a {type(out).__name__} where its logits should be a tensor: say where "
            "they are, Network(…).picking('name')"
        )
    return out


def call(module: nn.Module, x: Any) -> Any:
    """A module on inputs: a tensor, a tuple of tensors, or a mapping by the names of arguments."""
    if isinstance(x, Mapping):
        return module(**x)
    return module(*x) if isinstance(x, tuple) else module(x)


def _plain(name: str, value: Any) -> Any:
    """An argument as plain values and specs."""
    if value is None or isinstance(value, bool | int | float | str) or is_spec(value):
        return value
    if isinstance(value, tuple | list):
        return tuple(_plain(name, v) for v in value)
    if isinstance(value, Mapping):
        return Options(tuple((str(k), _plain(name, v)) for k, v in sorted(value.items())))
    if callable(value) and hasattr(value, "__qualname__"):
        return Imported.of(value)
    raise ValueError(
        f"the argument {name} must be made of numbers, texts, tuples, mappings, classes and "
        f"functions, not of a {type(value).__name__}; let the factory make it from some of these"
    )


def _argument(value: Any) -> Any:
    if isinstance(value, Imported):
        return value.itself
    if isinstance(value, Options):
        return {name: _argument(v) for name, v in value.items}
    return tuple(map(_argument, value)) if isinstance(value, tuple) else value


def _shown(value: Any) -> Any:
    if isinstance(value, Imported):
        return value.label
    if isinstance(value, Options):
        return str({name: _shown(v) for name, v in value.items})
    if isinstance(value, tuple):
        return "-".join(str(_shown(v)) for v in value)
    return getattr(value, "label", value)


def _logits(out: Any) -> Any:
    for name in PICKED:
        if isinstance(out, Mapping) and name in out:
            return out[name]
        if not isinstance(out, Mapping) and isinstance(getattr(out, name, None), Tensor):
            return getattr(out, name)
    if dataclasses.is_dataclass(out) and not isinstance(out, type):
        values = (getattr(out, field.name) for field in dataclasses.fields(out))
        return next((v for v in values if isinstance(v, Tensor)), out)
    if isinstance(out, Mapping):
        return next((v for v in out.values() if isinstance(v, Tensor)), out)
    return out[0] if isinstance(out, tuple | list) and out else out


def _part(out: Any, name: str) -> Any:
    try:
        if isinstance(out, Mapping):
            return out[name]
        return out[int(name)] if name.lstrip("-").isdigit() else getattr(out, name)
    except (KeyError, IndexError, AttributeError):
        known = list(out) if isinstance(out, Mapping) else sorted(getattr(out, "__dict__", {}))
        raise ValueError(
            f"the network's output, a {type(out).__name__}, has no {name!r}"
            + (f"; it has {', '.join(map(str, known))}" if known else "")
        ) from None


def _network(
    factory: str, source: str, arguments: tuple, output: str | None, code: bytes | None
) -> Network:
    received(factory, source, code)
    return Network.from_fields(factory, source, arguments, output)


class Given(Network):
    """A network that is there as a module: it is copied, not built."""

    def build(self, device: str | torch.device = "cpu", seed: int = 0) -> nn.Module:
        """A copy of the module."""
        return copy.deepcopy(self._module).to(device)  # type: ignore[attr-defined]


def around(module: nn.Module) -> Given:
    """The network that a module is; a run cannot name it, for nothing says how to make it again."""
    made = object.__new__(Given)
    try:
        name, source = named(type(module))
    except SourceError:  # its numbers do not depend on it
        name, source = f"{type(module).__module__}:{type(module).__qualname__}", ""
    made._set(name, (("printed", repr(module)),), source, None)
    object.__setattr__(made, "_module", module)
    return made
