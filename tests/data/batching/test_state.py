import numpy as np
import pytest

from seqkit.data.batching.state import fingerprint, require_equal_settings


def test_fingerprint_depends_on_content_only():
    values = np.arange(20)
    assert fingerprint(values) == fingerprint(values[::-1][::-1]) != fingerprint(values + 1)
    assert len(fingerprint(values, values)) == 16


def test_equal_settings_pass():
    require_equal_settings("sampler", {"seed": 1, "cost": None}, {"cost": None, "seed": 1})


def test_different_settings_raise_with_both_values():
    message = (
        r"the sampler's state does not belong to these data and settings: seed 1 in the state, 2 here; "
        r"pool 5 in the state, None here; resume with those the state was saved with, or start a new run"
    )
    with pytest.raises(ValueError, match=message):
        require_equal_settings("sampler", {"seed": 1, "pool": 5}, {"seed": 2})
