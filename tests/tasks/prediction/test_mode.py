import pytest
import torch
from torch import nn

from seqkit.tasks.prediction import evaluation


@pytest.mark.parametrize("fails", [False, True])
def test_each_part_has_its_own_mode_again(fails):
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Dropout(), nn.Linear(1, 1)))
    model[1].eval()
    before = [module.training for module in model.modules()]
    try:
        with evaluation(model):
            assert not any(module.training for module in model.modules())
            assert torch.is_inference_mode_enabled()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert [module.training for module in model.modules()] == before == [True, True, False, False, False]
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
