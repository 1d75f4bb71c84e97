import pytest
import torch

from seqkit import packed
from tests.tasks.language_model.cases import END, build, stock


def test_the_prediction_of_a_token_does_not_depend_on_it(rows):
    model, data = build(rows, bidirectional=True)
    model = model.double().eval()
    ids = data.rows("train")[[0, 3, 7, 11]].inputs["text"]
    forward, backward = model({"text": ids}).data, model.backward_log_probs({"text": ids}).data
    places = len(ids.data)
    starts = ids.batch_sizes.cumsum(0) - ids.batch_sizes
    steps, ranks = packed.positions(ids), packed.sequences(ids)
    lengths = packed.lengths(ids)
    for i in range(places):
        changed = ids._replace(data=ids.data.clone())
        changed.data[i] = (changed.data[i] + 1) % 8
        one, other = model({"text": changed}).data, model.backward_log_probs({"text": changed}).data
        moved = (one != forward).any(-1).nonzero().flatten().tolist()
        # With the boundary each row has one token more, and a step begins after all tokens of the steps before.
        t, b = int(steps[i]), int(ranks[i])
        sizes = torch.cat([ids.batch_sizes[:1], ids.batch_sizes])
        framed_starts = sizes.cumsum(0) - sizes
        assert moved == [int(framed_starts[s]) + b for s in range(t + 1, int(lengths[b]) + 1)]
        moved = (other != backward).any(-1).nonzero().flatten().tolist()
        assert moved == [int(starts[s]) + b for s in range(t)]


def test_the_second_direction_is_that_of_reversed_rows(rows):
    model, data = build(rows, bidirectional=True)
    model = model.double().eval()
    ids = data.rows("train")[[0, 3, 7]].inputs["text"]
    found = packed.unpack(model.backward_log_probs({"text": ids}))
    rnn = stock(model.backward_encoder)
    for row, mine in zip(packed.unpack(ids), found, strict=True):
        read = torch.cat([torch.tensor([END]), row.flip(0)])
        hidden, _ = rnn(model.embeddings[0].weight[read[:-1]])
        torch.testing.assert_close(mine, model.softmax.linear(hidden).log_softmax(-1).flip(0))


def test_the_loss_is_the_mean_of_both(rows):
    model, data = build(rows, bidirectional=True)
    model = model.double().eval()
    batch = data.rows("train")[[0, 3, 7]]
    (_, columns) = model.predict_step(batch, 0)
    nll = [[*a, b, *c, d] for a, b, c, d in zip(*(columns[n] for n in columns if n != "perplexity"), strict=True)]
    every = [value for row in nll for value in row]
    assert model.step(batch, "val").item() == pytest.approx(sum(every) / len(every))


def test_one_direction_has_no_second(rows):
    model, data = build(rows)
    with pytest.raises(ValueError, match="has one direction; build it with bidirectional=True"):
        model.backward_log_probs(data.rows("train")[[0]].inputs)
