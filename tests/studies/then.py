"""Keys of runs under the names of the first edition, by which its grids are known."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from initlab.spec import to_plain

#: Of each type of value: a field's name now → its name then.
THEN = {
    "Budget": {
        "target_test_accuracy": "target",
        "target_train_accuracy": "fitted",
        "target_train_loss": "loss",
    },
    "Run": {"observer": "watch"},
}


def key_then(value: Any) -> str:
    """The key that a value had in the first edition."""
    text = json.dumps(_then(to_plain(value)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _then(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_then(value) for value in plain]
    if not isinstance(plain, dict):
        return plain
    names = THEN.get(plain.get("type", ""), {})
    return {names.get(name, name): _then(value) for name, value in plain.items()}
