import sys

import numpy as np
import pytest

from seqkit.figures import new_figure, pixels


def test_pixels_are_those_of_the_figure():
    figure = new_figure(2.0, 1.0)
    drawn = pixels(figure)
    assert drawn.shape == (120, 240, 3)
    assert drawn.dtype == np.uint8
    assert (drawn == 255).all()


def test_the_error_without_matplotlib_names_the_remedy(monkeypatch):
    for name in [*sys.modules]:
        if name == "matplotlib" or name.startswith("matplotlib."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="matplotlib, which is not installed: pip install"):
        new_figure(1.0, 1.0)
