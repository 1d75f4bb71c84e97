from functools import partial

import pytest
import torch

from seqkit import SequenceDataModule, Tagger
from seqkit.nn import LSTM, Embedding


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_torchs_optimisers_take_their_fused_step_on_a_cpu(optimizer, splits, trainer):
    weights = []
    for chosen in (None, False):
        data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
        torch.manual_seed(0)
        model = Tagger(
            data.spec,
            partial(LSTM, hidden_size=8),
            partial(Embedding, embedding_dim=8),
            optimizer=partial(optimizer, lr=0.01, foreach=chosen),
        )
        run = trainer(max_epochs=1)
        run.fit(model, data)
        assert run.optimizers[0].param_groups[0]["fused"] is (True if chosen is None else None)
        weights.append(model.state_dict())
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)
