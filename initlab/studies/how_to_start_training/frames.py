"""What the chapter's frames have in common: names of groups, and means for a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from initlab import claims
from initlab.studies.how_to_start_training.drawn import spread_depths
from initlab.studies.how_to_start_training.parts import FAMILIES
from initlab.studies.how_to_start_training.settings import Settings

#: How weights 1/L of all L modules are named.
EVEN = "η = 1/L"


def eta(b: float) -> str:
    """How the weights of residual modules are named: η_l = b^l."""
    return "η = 1" if b == 1 else f"η = {b:g}ˡ"


def short(family: str) -> str:
    """The number of a family of widths.

    >>> short("(iv) 15 throughout")
    'iv'
    """
    return family[1:].split(")")[0]


def family_names(settings: Settings) -> dict[str, str]:
    """Family by the widths of a network, as results have them: "30-10-30-10".

    At depth 2 families (i) and (ii) are one network, which counts as (ii).
    """
    depths = {*settings.family_depths, *spread_depths(settings)}
    return {
        "-".join(map(str, widths(d))): name for name, widths in FAMILIES.items() for d in depths
    }


def log_means(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means of positive numbers as `claims.means` gives them, for a logarithmic axis.

    Their intervals are Student's t on the logarithmic scale, by the first term of Taylor's series
    of log(mean), so that their ends are positive however heavy the tail is.
    """
    found = claims.means(frame, by)
    groups = frame.groupby(list(by), sort=False, observed=True).value
    ends = [
        claims.ratio(x, np.ones(len(x)), pairs=True).interval() if len(x) > 1 else (np.nan, np.nan)
        for _, x in groups
    ]
    found[["low", "high"]] = ends
    return found
