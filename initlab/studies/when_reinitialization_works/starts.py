"""Warm starts and data that arrive in rounds, as frames."""

from __future__ import annotations

import pandas as pd

from initlab import claims
from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.networks import minus, networks, planned
from initlab.studies.when_reinitialization_works.settings import Settings
from initlab.studies.when_reinitialization_works.tables import told
from initlab.studies.when_reinitialization_works.warm import NEW


def warm_starts(results: Results[Settings]) -> pd.DataFrame:
    """Every start on all of the data, as a table: accuracy, distance to a new network, epochs."""
    axes = ["kind", "start"]
    frame, epochs = networks(results, "warm"), networks(results, "warm", "epochs", 1.0)
    ahead = minus(frame, "start", NEW)
    behind = claims.means(ahead.assign(value=-ahead.value), axes)
    means = claims.means(frame, axes)
    shown = means[axes].merge(behind[axes].assign(text=told(behind)), on=axes, how="left")
    return pd.DataFrame(
        {
            "network": shown.kind,
            "start on all data": shown.start,
            "test accuracy, %": told(means),
            "behind a new network, points": shown.text.fillna(""),
            "epochs to fit": [f"{mean:.1f}" for mean in claims.means(epochs, axes)["mean"]],
        }
    )


def rounds(results: Results[Settings]) -> pd.DataFrame:
    """What each round of arriving data brings and costs.

    Returns:
        Columns `start`, `images` (training images so far), `what` ("accuracy" on the test set in %,
        or "epochs" of this round), `replicate` and `value`.
    """
    images = {
        r: group[0].data.train
        for (_, r), group in planned(results)["online"].items()
        if group[0].data is not None
    }
    kinds = (("accuracy", "test_accuracy", 100.0), ("epochs", "epochs", 1.0))
    frames = [networks(results, "online", s, scale).assign(what=what) for what, s, scale in kinds]
    frame = pd.concat(frames, ignore_index=True)
    frame = frame.assign(images=frame["round"].map(images))
    return frame[["start", "images", "what", "replicate", "value"]]
