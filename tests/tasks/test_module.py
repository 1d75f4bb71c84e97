from functools import partial
from types import SimpleNamespace

import pytest
import torch

from seqkit import SequenceDataModule, Tagger
from seqkit.nn import LSTM, Embedding
from seqkit.tasks import module


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_torch_optimisers_use_their_fused_step_on_a_cpu(optimizer, splits, trainer):
    weights = []
    for chosen in (None, False):
        data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
        torch.manual_seed(0)
        model = Tagger(
            data.spec,
            encoder=partial(LSTM, hidden_size=8),
            embedding=partial(Embedding, embedding_dim=8),
            optimizer=partial(optimizer, lr=0.01, foreach=chosen),
        )
        run = trainer(max_epochs=1)
        run.fit(model, data)
        assert run.optimizers[0].param_groups[0]["fused"] is (True if chosen is None else None)
        weights.append(model.state_dict())
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


def test_only_a_resumed_fit_restores_the_random_state(splits):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=8), embedding=partial(Embedding, embedding_dim=8))
    checkpoint = {}
    model.on_save_checkpoint(checkpoint)
    model.on_load_checkpoint(checkpoint)  # as load_from_checkpoint does
    before = torch.manual_seed(7).get_state()
    model.on_train_batch_start(None, 0)
    assert torch.equal(torch.get_rng_state(), before)
    for fn, goes_on in (("test", False), ("fit", True)):
        model.trainer = SimpleNamespace(training=fn == "fit", global_rank=0)
        model.on_load_checkpoint(checkpoint)
        model.on_train_batch_start(None, 0)
        assert torch.equal(torch.get_rng_state(), checkpoint["seqkit_rng_state"][0]) is goes_on


def test_each_rank_restores_its_own_random_state(splits, monkeypatch):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=8), embedding=partial(Embedding, embedding_dim=8))
    states = [torch.manual_seed(seed).get_state() for seed in (1, 2)]
    torch.set_rng_state(states[0])

    def gather(held, own):
        assert torch.equal(own, states[0])
        held[:] = states

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    run = SimpleNamespace(training=True, world_size=2, global_rank=0)
    model.trainer, checkpoint = run, {}
    model.on_save_checkpoint(checkpoint)
    for rank, state in enumerate([*states, torch.manual_seed(3).get_state()]):
        torch.manual_seed(3)  # the state of a rank that the interrupted run did not have
        run.global_rank = rank
        model.on_load_checkpoint(checkpoint)
        model.on_train_batch_start(None, 0)
        assert torch.equal(torch.get_rng_state(), state)


def test_a_fit_says_once_where_there_is_no_compiled_code(splits, trainer, caplog, monkeypatch):
    def said():
        caplog.clear()
        data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
        embedding = partial(Embedding, embedding_dim=8)
        model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=8), embedding=embedding)
        with caplog.at_level("INFO"):
            trainer(max_steps=1).fit(model, data)
        return [record.message for record in caplog.records if "compiled code" in record.message]

    monkeypatch.setattr(module, "available", lambda: ("native", "closed_form", "reference"))
    assert not said()
    monkeypatch.setattr(module, "available", lambda: ("closed_form", "reference"))
    (message,) = said()
    assert "`python -m seqkit doctor` says why" in message
