import pytest
import torch

from seqkit.losses import full_precision, mean_over_units


@pytest.mark.parametrize(
    ("total", "units", "mean"), [(6.0, 4, 1.5), (0.1, 0.25, 0.4), (0.0, 0, 0.0), (3.0, 1, 3.0)]
)
def test_the_mean_over_units_is_0_where_none_counts(total, units, mean):
    total = torch.tensor(total, requires_grad=True)
    found = mean_over_units(total, torch.tensor(units))
    assert float(found.detach()) == pytest.approx(mean)
    found.backward()
    assert float(total.grad) == pytest.approx(1 / (units or 1))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_types_become_float32_and_others_stay(dtype, expected):
    values = torch.tensor([0.5, -3.0], dtype=dtype)
    assert full_precision(values).dtype == expected
    assert full_precision(values).tolist() == [0.5, -3.0]
