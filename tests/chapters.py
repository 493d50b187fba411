"""Cells of a chapter's notebook, run with something else in place of training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from initlab import sweep

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def grids(notebook: Path, preset: str, results: Callable[..., pd.DataFrame]) -> dict:
    """Names that the cells of the grids leave behind, up to where the results are computed.

    `results` takes the runs, and stands in for `sweep.run`.
    """
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    del code[0]  # the installation, which is no plain Python
    end = next(i for i, source in enumerate(code) if "sweeps = dict(" in source)
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "run", results)
        for source in [*code[:end], code[end].split("sweeps = dict(")[0]]:
            text = source.replace('preset = "laptop"', f'preset = "{preset}"')
            exec(compile(text, notebook.name, "exec"), names)
    assert names["p"].preset == preset
    return names
