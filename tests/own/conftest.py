"""What is found out about networks stays in a folder of the tests."""

from __future__ import annotations

import pytest

from initlab.train import choose


@pytest.fixture(autouse=True, scope="session")
def _forms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "_folder", lambda: folder)
        patch.setattr(choose, "_FOUND", {})
        yield
