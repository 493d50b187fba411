"""What becomes of networks on the way, at the highest share of wrong labels."""

from __future__ import annotations

from itertools import accumulate

import pandas as pd

from initlab.reinit import Full, Stages
from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.network import BATCH, STANDARD, data_of
from initlab.studies.when_reinitialization_works.networks import networks
from initlab.studies.when_reinitialization_works.settings import Settings

#: The statistics that are followed, as figures call them.
SEEN = {
    "wrong_fitted": "wrong labels memorized",
    "val_accuracy": "validation accuracy",
    "distance": "distance from the start",
    "rank": "effective rank of the features",
    "dead": "share of dead units",
    "sharpness": "sharpness",
}


def _curves(results: Results[Settings]) -> pd.DataFrame:
    """All that was followed: the axes of `watched`, `replicate`, `step`, `statistic`, `value`."""
    cells = networks(results, "watched").drop(columns="value")
    rows = results.frame.loc[results.frame.statistic.isin(SEEN) & (results.frame.step >= 0)]
    return cells.merge(rows[["key", "step", "statistic", "value"]], on="key").drop(columns="key")


def ends_of_stages(results: Results[Settings]) -> pd.DataFrame:
    """The statistics of `SEEN` at the end of each stage; of standard training, along the way.

    Returns:
        Columns `data`, `setting`, `method`, `replicate`, `statistic`, `step`, `epoch`, `value`.
    """
    settings, found = results.settings, []
    frame = _curves(results)
    for data in settings.datasets:
        per_epoch = -(-(data_of(settings, data).train or 0) // BATCH)
        lengths = Stages(Full(), settings.stages).lengths(settings.epochs_of(data))
        ends = [per_epoch * epochs for epochs in accumulate(lengths)]
        rows = frame[frame.data == data]
        along = (rows.method == STANDARD) & (rows.step <= ends[-1])
        rows = rows[rows.step.isin(ends) | along]
        found.append(rows.assign(epoch=rows.step / per_epoch))
    return pd.concat(found, ignore_index=True)


def at_the_end(results: Results[Settings]) -> pd.DataFrame:
    """`ends_of_stages` after the last stage only, without what has no value."""
    rows = ends_of_stages(results).dropna(subset="value")
    return rows[rows.step == rows.groupby("data").step.transform("max")]


def at_best_moment(results: Results[Settings]) -> pd.DataFrame:
    """Validation accuracy of each method at the moment that is best for it on average.

    The moments are those that were recorded: powers of two and the ends of stages. The same samples
    choose and judge, for all methods alike.

    Returns:
        Columns `data`, `setting`, `method`, `replicate`, `step` and `value` (%).
    """
    axes = ["data", "setting", "method"]
    frame = _curves(results)
    frame = frame[frame.statistic == "val_accuracy"].dropna(subset="value")
    frame = frame.drop_duplicates([*axes, "replicate", "step"], keep="last")
    groups = frame.groupby([*axes, "step"], sort=False)
    whole = frame.groupby(axes).replicate.transform("nunique")
    frame = frame[groups.value.transform("size") == whole]  # where all networks have a value
    means = frame.groupby([*axes, "step"], sort=False, as_index=False).value.mean()
    top = means.loc[means.groupby(axes, sort=False).value.idxmax(), [*axes, "step"]]
    found = frame.merge(top, on=[*axes, "step"]).assign(value=lambda f: 100 * f.value)
    return found[[*axes, "replicate", "step", "value"]]
