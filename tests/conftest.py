"""Shared by all tests: devices present, and a guard on the global random state."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from initlab.devices import present

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads would be in the way
    torch.set_num_threads(1)
# What networks are compared with computes in float32, too, and the same again.
torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True


@pytest.fixture(params=present())
def device(request) -> str:
    """Every device present."""
    return request.param


@pytest.fixture
def untouched_random_state():
    """Fails the test if it leaves torch's or numpy's global random state changed."""
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == before_numpy).all()


@pytest.fixture
def generator() -> torch.Generator:
    """A generator of its own for the test."""
    return torch.Generator().manual_seed(20181204)
