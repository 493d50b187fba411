"""What the starting point of a neural network decides about its training and its end.

The public names are loaded when they are first used, so that reading recorded results or
claims does not import torch.

>>> import initlab
>>> initlab.MLP.constant(depth=3, width=20).widths
(20, 20, 20)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Adam": "train",
    "AdamW": "train",
    "Augment": "augment",
    "Budget": "train",
    "ConvNet": "models",
    "Correlation": "measure",
    "Curves": "train",
    "Data": "data",
    "DenseNet": "models",
    "LARS": "train",
    "LabelNoise": "noise",
    "LaterLayers": "reinit",
    "LayerWise": "reinit",
    "Lion": "train",
    "LogisticRegression": "models",
    "SecondMoments": "measure",
    "MLP": "models",
    "MobileNetV2": "models",
    "Muon": "train",
    "Network": "models",
    "Optimizer": "train",
    "PreActResNet18": "models",
    "ResNet18": "models",
    "ResNet9": "models",
    "ResidualMLP": "models",
    "Run": "sweep",
    "SGD": "train",
    "ShrinkPerturb": "reinit",
    "Signal": "measure",
    "Stages": "reinit",
    "Store": "store",
    "Tensors": "data",
    "BinaryCrossEntropy": "train",
    "CrossEntropy": "train",
    "FunctionLoss": "train",
    "Huber": "train",
    "MeanSquaredError": "train",
    "Metric": "train",
    "estimate": "sweep",
    "fit": "train",
    "grid": "sweep",
    "initialize": "init",
    "Report": "measure.report",
    "diagnose": "measure.report",
    "initialize_": "init",
    "inspect": "measure.inspection",
    "load": "data",
    "reinitialize": "reinit",
    "run": "sweep",
}
_MODULES = (
    "claims",
    "cluster",
    "data",
    "init",
    "live",
    "measure",
    "models",
    "parameters",
    "plot",
    "reinit",
    "spec",
    "store",
    "studies",
    "sweep",
    "train",
    "verify",
)

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _HOME:
        return getattr(import_module(f"initlab.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"initlab.{name}")
    raise AttributeError(f"module 'initlab' has no attribute {name!r}")


def _version() -> str:
    # Not before it is asked for: it is half of what importing the package takes.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("initlab")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted(__all__)
