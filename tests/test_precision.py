"""Products are computed in what is asked for, and what the caller has set is put back."""

from __future__ import annotations

import pytest
import torch

from initlab.precision import precision

matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn


def switches() -> tuple[bool, bool, bool]:
    """Whether products and convolutions are rounded to TF32, and convolutions repeat themselves."""
    return matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic


@pytest.fixture(params=[False, True], ids=["TF32 off", "TF32 on"])
def before(request):
    """What a caller may have set; it does so on machines without the device, too."""
    found = switches()
    matmul.allow_tf32 = cudnn.allow_tf32 = request.param
    cudnn.deterministic = not request.param
    yield switches()
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic = found


@pytest.mark.parametrize("name, rounded", [("float32", False), ("tf32", True)])
def test_cuda_rounds_only_when_asked_and_goes_back(name, rounded, before):
    with precision(name, torch.device("cuda")):
        assert switches() == (rounded, rounded, True)
    assert switches() == before


def test_the_callers_switches_come_back_after_an_error(before):
    with pytest.raises(KeyError), precision("float32", torch.device("cuda")):
        raise KeyError
    assert switches() == before


def test_other_devices_are_left_alone(before):
    with precision("tf32", torch.device("cpu")):
        assert switches() == before


def test_bf16_is_for_products_only():
    one = torch.ones(2, 2)
    with precision("bf16", torch.device("cpu")):
        assert (one @ one).dtype == torch.bfloat16 and (one + one).dtype == torch.float32
    assert (one @ one).dtype == torch.float32
