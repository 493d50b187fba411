"""What is Muon's own: which parameters it takes, and what orthogonalized matrices are."""

from __future__ import annotations

import pytest
import torch

from initlab.train import Muon
from initlab.train.optim.muon import orthogonalized


@pytest.mark.parametrize(
    ("optimizer", "hidden"),
    [
        (Muon(), ("block.weight",)),
        (Muon(ends=False), ("stem.weight", "block.weight", "head.weight")),
        (Muon(adam=("block.*",)), ("pos_embed",)),
        (Muon(adam=(), ends=False), ("stem.weight", "pos_embed", "block.weight", "head.weight")),
    ],
)
def test_which_parameters_muon_takes_for_hidden_matrices(optimizer, hidden):
    shapes = {
        "cls_token": (1, 1, 6),
        "stem.weight": (6, 3, 2, 2),
        "stem.bias": (6,),
        "pos_embed": (5, 6),
        "block.gain": (),
        "block.weight": (6, 6),
        "column": (6, 1),
        "head.weight": (2, 6),
    }
    assert optimizer.slots(shapes) == [1 if name in hidden else 2 for name in shapes]


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_orthogonalized_matrices_are_nearly_so(shape, generator, device):
    """Singular values come near 1, and singular vectors stay; for each matrix of a stack alone."""
    matrices = torch.randn(4, *shape, generator=generator).to(device) * 10.0 ** torch.arange(
        -2, 2, device=device
    ).view(-1, 1, 1)
    found = orthogonalized(matrices, 5)
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ found @ vt.mT
    values = torch.diagonal(inner, dim1=1, dim2=2)
    assert ((values > 0.5) & (values < 1.3)).all()
    assert (inner - torch.diag_embed(values)).abs().max() < 1e-3
    for r in range(4):
        torch.testing.assert_close(orthogonalized(matrices[r : r + 1], 5)[0], found[r])
