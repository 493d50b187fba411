"""Born-again networks, generation by generation."""

from __future__ import annotations

import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.networks import networks
from initlab.studies.when_reinitialization_works.settings import Settings

_KINDS = {"stage_test_accuracy": "single", "ensemble_accuracy": "ensemble"}


def generations(results: Results[Settings]) -> pd.DataFrame:
    """Test accuracy of each generation, and of the mean of all students up to it.

    Returns:
        Columns `data`, `teaching`, `replicate`, `generation` (0 is the first teacher), `kind`
        ("single" or "ensemble", which begins at 1) and `value` (%).
    """
    frame = networks(results, "born").drop(columns="value")
    rows = results.of("born")
    rows = rows[rows.statistic.isin(_KINDS)].sort_values("step", kind="stable")
    order = rows.groupby(["key", "statistic"]).cumcount()
    rows = rows.assign(
        kind=rows.statistic.map(_KINDS),
        generation=order + (rows.statistic == "ensemble_accuracy"),
        value=100 * rows.value,
    )
    found = frame.merge(rows[["key", "generation", "kind", "value"]], on="key")
    return found[["data", "teaching", "replicate", "generation", "kind", "value"]]
