import pytest
import torch
from torch import nn
from torch.testing import assert_close

from seqkit.nn import Embedding, Projection
from seqkit.packed import pack, unpack


def test_embedding_looks_up_each_token() -> None:
    ids = [torch.tensor([3, 1]), torch.tensor([0, 4, 4])]
    embedding = Embedding(5, 7)
    assert (embedding.input_size, embedding.output_size) == (5, 7)
    plain = nn.Embedding(5, 7)
    plain.load_state_dict(embedding.state_dict())
    assert_close(unpack(embedding(pack(ids))), [plain(row) for row in ids], rtol=0, atol=0)


def test_embedding_initialisation_equals_torchs() -> None:
    torch.manual_seed(3)
    wanted = nn.Embedding(5, 7).weight
    torch.manual_seed(3)
    assert_close(Embedding(5, 7).weight, wanted, rtol=0, atol=0)


def test_embedding_of_several_ids_a_token() -> None:
    assert Embedding(5, 7)(pack(torch.zeros(6, 2, dtype=torch.int64), [4, 2])).data.shape == (6, 2, 7)


def test_projection_maps_each_token() -> None:
    rows = [torch.randn(2, 3), torch.randn(4, 3)]
    projection = Projection(3, 8)
    assert (projection.input_size, projection.output_size) == (3, 8)
    assert_close(unpack(projection(pack(rows))), [projection.linear(row) for row in rows])


@pytest.mark.parametrize(
    ("module", "data"),
    [
        (Embedding(5, 100, dropout=0.5), torch.zeros(6, dtype=torch.int64)),
        (Projection(3, 100, dropout=0.5), torch.randn(6, 3)),
    ],
)
def test_dropout_acts_in_training_only(module: nn.Module, data: torch.Tensor) -> None:
    values = pack(data, [4, 2])
    trained, evaluated = module.train()(values).data, module.eval()(values).data
    dropped = trained == 0
    assert 0 < dropped.float().mean() < 1
    assert not (evaluated == 0).any()
    assert_close(trained, evaluated.masked_fill(dropped, 0) * 2)


def test_gradients_reach_the_weights() -> None:
    embedding, projection = Embedding(5, 7), Projection(7, 3)
    vectors = embedding(pack(torch.tensor([0, 1, 1]), [2, 1]))
    projection(vectors).data.sum().backward()
    assert embedding.weight.grad is not None
    assert embedding.weight.grad.ne(0).any(1).tolist() == [True, True, False, False, False]
    assert_close(projection.linear.weight.grad, vectors.data.sum(0).expand(3, 7))
    assert_close(projection.linear.bias.grad, torch.full((3,), 3.0))


def test_representation_shows_the_sizes() -> None:
    assert repr(Embedding(5, 7, dropout=0.5)).startswith("Embedding(\n  5, 7\n")


def test_a_vector_has_features() -> None:
    for dim in (0, -3):
        with pytest.raises(ValueError, match=rf"Embedding: embedding_dim is {dim}; give at least 1"):
            Embedding(5, dim)
        with pytest.raises(ValueError, match=rf"Projection: output_size is {dim}; give at least 1"):
            Projection(5, dim)


def test_word_dropout_replaces_words_in_training_only() -> None:
    embedding = Embedding(5, 7, word_dropout=0.3, unknown_id=3)
    ids = pack(torch.tensor([1, 2, 0, 4] * 500), [1200, 800])
    torch.manual_seed(0)
    trained = embedding.train()(ids).data
    unknown = (trained == embedding.weight[3]).all(1)
    assert 0.25 < unknown.float().mean() < 0.35
    assert_close(trained[~unknown], embedding.weight[ids.data][~unknown], rtol=0, atol=0)
    assert_close(embedding.eval()(ids).data, embedding.weight[ids.data], rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"Embedding: word_dropout is 2; give a probability in \[0, 1\]"):
        Embedding(5, 7, word_dropout=2)


def test_word_dropout_needs_an_unknown_id() -> None:
    ids = pack(torch.tensor([1, 2, 0]), [3])
    embedding = Embedding(5, 7, word_dropout=0.3)
    embedding.eval()(ids)
    with pytest.raises(ValueError, match=r"word_dropout=0.3 needs the id that replaces tokens; give unknown_id"):
        embedding.train()(ids)
    for unknown in (-1, 5):
        with pytest.raises(ValueError, match=rf"unknown_id is {unknown}; give an id in \[0, 5\)"):
            Embedding(5, 7, unknown_id=unknown)


def test_frozen_vectors_get_no_gradient() -> None:
    embedding = Embedding(5, 7)
    embedding.freeze(torch.tensor([False, True, False, True, False]))
    ids = pack(torch.tensor([0, 1, 2, 3, 1]), [3, 2])
    assert_close(embedding(ids).data, embedding.weight[ids.data], rtol=0, atol=0)
    embedding(ids).data.sum().backward()
    assert embedding.weight.grad is not None
    assert embedding.weight.grad.ne(0).any(1).tolist() == [True, False, True, False, False]
    assert list(embedding.state_dict()) == ["weight"]
    embedding.freeze(None)
    embedding(ids).data.sum().backward()
    assert embedding.weight.grad.ne(0).any(1).tolist() == [True, True, True, True, False]


def test_the_vector_of_a_set_is_the_sum() -> None:
    embedding = Embedding(5, 7)
    sets = [[3, 1], [], [0, 2, 4]]
    multi_hot = torch.zeros(3, 5)
    for row, ids in enumerate(sets):
        multi_hot[row, ids] = 1
    found = embedding(pack([multi_hot])).data
    for row, ids in enumerate(sets):
        assert_close(found[row], embedding.weight[ids].sum(0))
    embedding.freeze(torch.tensor([True, False, False, False, False]))
    embedding(pack([multi_hot])).data.sum().backward()
    assert embedding.weight.grad is not None
    assert_close(embedding.weight.grad[:, 0], torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"word_dropout=0.5 of sets of ids; set it to 0"):
        Embedding(5, 7, word_dropout=0.5)(pack([multi_hot]))
