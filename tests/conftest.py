"""Shared by all tests: no network, no real data but what is asked for, and what is made once."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from initlab import files
from initlab.devices import present
from tests.guard import sitecustomize
from tests.smoke import smoke
from tests.units import Units, rank

#: Where INITLAB_DATA pointed before the tests: for those that are marked `data`.
GIVEN = "INITLAB_TESTS_DATA"

# Times are those of the machine, too, and new examples in each run blame whoever comes next.
settings.register_profile(
    "initlab", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("initlab")
# What networks are compared with computes in float32, too, and the same again.
torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True


def pytest_configure(config: pytest.Config) -> None:
    """Take network, data and store from this process and from all that it starts."""
    if hasattr(config, "workerinput"):
        return  # a process of pytest-xdist: it has the environment of the one that started it
    if config.getoption("numprocesses", None):
        # Before they start: as many processes as cores, so that threads would be in the way.
        os.environ["OMP_NUM_THREADS"] = "1"
    guard = Path(sitecustomize.__file__).parent
    # What a test starts imports this checkout, from wherever it runs.
    folders = [str(guard), str(guard.parents[1]), os.environ.get("PYTHONPATH")]
    given = os.environ.get("INITLAB_DATA")
    own = tempfile.TemporaryDirectory(prefix="initlab-tests-")
    config.add_cleanup(own.cleanup)
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        GIVEN: str(Path(given).expanduser().absolute()) if given else "",
        "INITLAB_DATA": str(Path(own.name, "data")),
        "INITLAB_STORE": str(Path(own.name, "store")),
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See `tests.units.rank`."""
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Share the tests among processes as `tests.units` says, in their order."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Units(config, log)


@cache
def lacking(name: str) -> bool:
    """Whether files of a set are missing in INITLAB_DATA; those that are wrong are to fail."""
    return files.look(name).state in (files.MISSING, files.PARTIAL)


@pytest.fixture(autouse=True)
def real_sets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test that is marked `data` read the sets that it names, or skip it without them."""
    names = [name for mark in request.node.iter_markers("data") for name in mark.args]
    if names:
        monkeypatch.setenv("INITLAB_DATA", os.environ[GIVEN])
    for name in names:
        if not os.environ[GIVEN] or lacking(name):
            pytest.skip(
                f"needs the real {name}: set INITLAB_DATA to a torchvision root that has it"
            )


@pytest.fixture(autouse=True)
def no_figure_stays() -> Iterator[None]:
    """Close what a test has drawn: matplotlib warns of the twenty-first figure that is open."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def at_smoke(shared: Path):
    """`at_smoke(notebook)`: a chapter at the smoke preset, or a page, run once for all tests."""
    return partial(smoke, shared)


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
