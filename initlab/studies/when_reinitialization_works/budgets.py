"""What the number of epochs has to do with it."""

from __future__ import annotations

import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.grid import INQUIRED
from initlab.studies.when_reinitialization_works.networks import networks
from initlab.studies.when_reinitialization_works.settings import Settings

CELL = ["data", "setting", "noise", "method"]


def budgets(results: Results[Settings], statistic: str = "accuracy") -> pd.DataFrame:
    """Standard training and Shrink & Perturb at every budget.

    Args:
        results: of the chapter's grid.
        statistic: at the end, in %, on validation samples where it is an accuracy.

    Returns:
        As `networks`, with `epochs` in all.
    """
    frame = networks(results, "longer", statistic)
    frame = frame[frame.method.isin(INQUIRED)]
    epochs = frame.data.map(results.settings.epochs_of)
    return frame.assign(epochs=epochs * frame.factor)


def at_best_budget(results: Results[Settings]) -> pd.DataFrame:
    """Validation accuracy of each method at the budget that is best for it on average.

    The same samples choose and judge, for all methods alike.

    Returns:
        Columns `data`, `setting`, `noise`, `method`, `replicate`, `epochs` and `value`.
    """
    frame = budgets(results)
    means = frame.groupby([*CELL, "epochs"], sort=False, as_index=False).value.mean()
    top = means.loc[means.groupby(CELL, sort=False).value.idxmax(), [*CELL, "epochs"]]
    return frame.merge(top, on=[*CELL, "epochs"])[[*CELL, "replicate", "epochs", "value"]]
