from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.nn import functional as F

from seqkit.data import ContinuousText
from tests.tasks.language_model.cases import CONTINUOUS, END, build, gradients, ids_of, stock


def test_an_epoch_equals_a_plain_loop(rows, trainer):
    """Values and gradients of each stream alone in stock torch, in pieces with detached states."""
    model, data = build(rows, continuous=CONTINUOUS, optimizer=partial(torch.optim.SGD, lr=0.0))
    losses, found = [], []

    class Keep(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            found.append(gradients(pl_module))

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            losses.append(trainer.callback_metrics["train_loss"].item())

    run = trainer(max_epochs=1, callbacks=[Keep()], limit_val_batches=0, precision="64-true", log_every_n_steps=1)
    run.fit(model, data)
    text = [END]
    for number in range(30):
        text += [*ids_of(data, number), END]
    count = len(text) - 1
    rnn = stock(model.encoder)
    pieces = list(run.train_dataloader.sampler)
    lengths = [count // 3 + (k < count % 3) for k in range(3)]
    states, starts = [None] * 3, [0, lengths[0], lengths[0] + lengths[1]]
    sums = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    model = model.double()
    for step, (start, stop) in enumerate(pieces):
        model.zero_grad()
        rnn.zero_grad()
        total, units = 0.0, 0
        for k in range(3):
            end = min(stop, lengths[k])
            if start >= end:
                continue
            ids = torch.tensor(text[starts[k] + start : starts[k] + end + 1])
            hidden, state = rnn(model.embeddings[0].weight[ids[:-1]], states[k])
            states[k] = tuple(part.detach() for part in state)
            total = total + F.cross_entropy(model.softmax.linear(hidden), ids[1:], reduction="sum")
            units += len(ids) - 1
        assert losses[step] == pytest.approx(total.item() / units, rel=1e-6)
        (total * len(pieces) / count).backward()
        weights = dict(rnn.named_parameters())
        for name in sums:
            own = weights[name.removeprefix("encoder.")] if "encoder" in name else model.get_parameter(name)
            torch.testing.assert_close(found[step][name], own.grad, rtol=1e-8, atol=1e-12, msg=name)
    assert len(found) == len(pieces) > 5


def test_evaluation_counts_each_token_once_and_carries_the_state(rows, trainer):
    """The pieces of a stream give the loss of the stream as a whole."""
    model, data = build(rows, continuous=CONTINUOUS)
    run = trainer(precision="64-true")
    first, again = run.validate(model, data, verbose=False)[0], run.validate(model, data, verbose=False)[0]
    assert first == again  # states are reset between runs
    encoded = data.rows("validation").dataset["text"]
    text = torch.tensor([END] + [i for row in encoded for i in [*row, END]])
    model = model.double()
    rnn, total, half = stock(model.encoder), 0.0, -(-(len(text) - 1) // 2)
    for stream in (text[: half + 1], text[half:]):
        hidden, _ = rnn(model.embeddings[0].weight[stream[:-1]])
        total += F.cross_entropy(model.softmax.linear(hidden), stream[1:], reduction="sum").item()
    assert first["val_loss"] == pytest.approx(total / (len(text) - 1), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")
def test_a_resume_in_mid_epoch_equals_an_uninterrupted_run(rows, trainer, tmp_path):
    options = {"output_dropout": 0.3}
    model, data = build(rows, continuous=CONTINUOUS, **options)
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1, filename="{step}")
    run = trainer(max_epochs=2, callbacks=[keep], enable_checkpointing=True, val_check_interval=4)
    run.fit(model, data)
    other, other_data = build(rows, continuous=CONTINUOUS, **options)
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1, filename="again-{step}")
    resumed = trainer(max_epochs=2, callbacks=[keep], enable_checkpointing=True, val_check_interval=4)
    resumed.fit(other, other_data, ckpt_path=tmp_path / "step=5.ckpt", weights_only=True)
    assert resumed.global_step == run.global_step
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], weight, rtol=0, atol=0, msg=name)


def test_the_last_piece_may_have_fewer_streams(rows):
    """Two streams of 6 and 5 tokens in pieces of 5: the last piece has only the first stream."""
    model, _ = build(rows, continuous=CONTINUOUS)
    model = model.double().eval()
    text = np.arange(12) % 5
    streams, nll = ContinuousText(text, "text", 2), 0.0
    for piece in ((0, 5), (5, 6)):
        batch = streams[piece]
        nll += model.step(batch, "val").item() * len(batch.inputs["text"].data)
    rnn, expected = stock(model.encoder), 0.0
    for stream in (torch.from_numpy(text[:7]), torch.from_numpy(text[6:])):
        hidden, _ = rnn(model.embeddings[0].weight[stream[:-1]])
        expected += F.cross_entropy(model.softmax.linear(hidden), stream[1:], reduction="sum").item()
    assert batch.rows.tolist() == [0]
    assert nll == pytest.approx(expected)


def test_two_directions_are_refused(rows):
    model, _ = build(rows, bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional=True cannot read continuous text, because a batch"):
        model.step(ContinuousText(np.arange(12) % 5, "text", 2)[0, 3], "val")


def test_overfit_batches(rows, trainer):
    model, data = build(rows, continuous=CONTINUOUS)
    run = trainer(max_epochs=2, overfit_batches=2)
    run.fit(model, data)
    assert run.global_step == 4
