"""What is measured of networks, and what theory says the measurement should be."""

from __future__ import annotations

from initlab.measure.contract import Measure
from initlab.measure.propagation import Correlation, Signal
from initlab.measure.signal import SecondMoments

__all__ = ["Correlation", "Measure", "SecondMoments", "Signal"]
