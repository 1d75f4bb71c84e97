from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.export.graph import layers
from seqkit.nn import LSTM, Downsample, Stack, Upsample
from tests.export.cases import TOLERANCE, packed_and_feeds, run, steps_session

LENGTHS = [7, 1, 30, 2, 7, 3]
MODULES = {
    **{
        f"{mode} {factor}": partial(Downsample, factor=factor, mode=mode)
        for mode in ("concat", "mean", "max")
        for factor in (1, 2, 3)
    },
    "repeat": partial(Upsample, factor=3),
    "linear": partial(Upsample, factor=2, output_size=5),
    "stack": partial(
        Stack,
        layers=[
            partial(LSTM, hidden_size=3, bidirectional=True),
            partial(Downsample, mode="max"),
            partial(LSTM, hidden_size=4, bidirectional=True),
            partial(Upsample, factor=3, output_size=5),
            partial(Downsample, mode="mean"),
            partial(LSTM, hidden_size=2, bidirectional=True),
        ],
        dropout=0.5,
    ),
}


@pytest.mark.parametrize("lengths", [LENGTHS, [1], [4, 4]], ids=str)
@pytest.mark.parametrize("name", MODULES)
def test_equals_the_module(name, lengths):
    module = MODULES[name](4).eval()
    sequences, feeds = packed_and_feeds(lengths, 4)

    def build(graph, steps):
        hidden = layers.build(graph, module, steps).hidden
        return {"output": hidden.values, "lengths_after": hidden.lengths}

    with torch.no_grad():
        output = module(sequences)
    output = output if isinstance(output, PackedSequence) else output[0]
    found = run(steps_session(build, 4), feeds)
    assert found["lengths_after"].tolist() == packed.lengths(output).tolist()
    assert np.isfinite(found["output"]).all()
    for own, row in zip(found["output"], packed.unpack(output), strict=True):
        np.testing.assert_allclose(own[: len(row)], row, **TOLERANCE)
