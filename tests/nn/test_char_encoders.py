from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence
from torch.testing import assert_close

from seqkit.nn import CharacterCNN, CharacterLSTM
from seqkit.nn import char_encoders as characters
from seqkit.nn.char_encoders import unique_sequences
from seqkit.packed import pack, unpack

SIZE = 7
words = st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=12), min_size=1, max_size=20)
# Few letters and short words: many repeat.
repeating = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=3), min_size=1, max_size=30)


def packed(rows):
    return pack([torch.tensor(row) for row in rows])


def seeded(kind, *arguments, **options):
    torch.manual_seed(0)
    return kind(*arguments, **options).double()


def lstm_alone(module, row):
    stock = nn.LSTM(module.lstm.input_size, module.lstm.hidden_size, module.lstm.num_layers, bidirectional=True)
    stock.double().load_state_dict(module.lstm.state_dict())
    # functional_call, so that gradients reach the module's own weights
    weights = dict(module.lstm.named_parameters())
    _, (final, _) = torch.func.functional_call(stock, weights, (module.embedding.weight[torch.tensor(row)],))
    return final[-2:].flatten()


def cnn_alone(module, row):
    letters = module.embedding.weight[torch.tensor(row)].T[None]
    found = []
    for convolution in module.convolutions:
        (width,) = convolution.kernel_size
        padded = F.pad(letters, ((width - 1) // 2, width // 2))
        stock = nn.Conv1d(convolution.in_channels, convolution.out_channels, width).double()
        values = torch.func.functional_call(stock, dict(convolution.named_parameters()), (padded,))
        found.append(values[0].amax(1))
    return torch.cat(found).tanh()


MODULES = {
    "lstm": (seeded(CharacterLSTM, SIZE, 3, 4), lstm_alone),
    "lstm of two layers": (seeded(CharacterLSTM, SIZE, 3, 4, num_layers=2), lstm_alone),
    "cnn": (seeded(CharacterCNN, SIZE, 3, 4), cnn_alone),
    "cnn of even and wide filters": (seeded(CharacterCNN, SIZE, 3, 2, widths=(1, 2, 9)), cnn_alone),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("drawn", [words, repeating])
@settings(max_examples=20)  # for each module and way to draw
@given(data=st.data())
def test_values_and_gradients_equal_those_of_each_word_alone(name, drawn, data):
    module, alone = MODULES[name]
    rows = data.draw(drawn)
    together = module(packed(rows))
    each = torch.stack([alone(module, row) for row in rows])
    assert together.shape == (len(rows), module.output_size)
    assert_close(together, each)
    weights = torch.randn(each.shape, dtype=each.dtype, generator=torch.Generator().manual_seed(1))
    parameters = list(module.parameters())
    mine = torch.autograd.grad((together * weights).sum(), parameters)
    assert_close(mine, torch.autograd.grad((each * weights).sum(), parameters))


def test_odd_width_equals_torchs_padding_same():
    module = seeded(CharacterCNN, SIZE, 3, 4, widths=(5,))
    stock = nn.Conv1d(3, 4, 5, padding="same").double()
    stock.load_state_dict(module.convolutions[0].state_dict())
    letters = module.embedding.weight[torch.tensor([4, 0, 2])]
    assert_close(module(packed([[6, 1], [4, 0, 2]]))[1], stock(letters.T[None])[0].amax(1).tanh())


@given(rows=st.one_of(words, repeating))
def test_unique_sequences_finds_each_sequence_once(rows):
    unique, index = unique_sequences(packed(rows))
    found = [sequence.tolist() for sequence in unpack(unique)]
    assert len({tuple(row) for row in rows}) == len(found)
    assert [found[i] for i in index.tolist()] == rows
    assert unique.sorted_indices is None
    assert all(len(one) >= len(two) for one, two in pairwise(found))


@given(rows=st.one_of(words, repeating))
def test_unique_sequences_is_exact_if_keys_collide(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters, "_hashed", lambda ids, positions: ids // 2)
        unique, index = unique_sequences(packed(rows))
    found = [sequence.tolist() for sequence in unpack(unique)]
    assert len({tuple(row) for row in rows}) == len(found)
    assert [found[i] for i in index.tolist()] == rows


def test_repeated_words_are_encoded_once():
    module = CharacterLSTM(SIZE, 3, 4)
    seen = []
    module.lstm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    module(packed([[1, 2], [3], [1, 2], [1, 2], [3]]))
    assert seen[0].batch_sizes.tolist() == [2, 1]


def test_word_ten_times_longer_than_the_others():
    for module, alone in MODULES.values():
        rows = [[1, 2, 3], [4, 5] * 60, [0]]
        assert_close(module(packed(rows)), torch.stack([alone(module, row) for row in rows]))


@pytest.mark.parametrize("name", MODULES)
def test_empty_input(name):
    module, _ = MODULES[name]
    nothing = torch.zeros(0, dtype=torch.int64)
    assert module(PackedSequence(nothing, nothing)).shape == (0, module.output_size)


@pytest.mark.parametrize("kind", [CharacterLSTM, CharacterCNN])
def test_dropout_is_drawn_for_each_occurrence_in_training_only(kind):
    module = kind(SIZE, 3, 100, dropout=0.5)
    same = packed([[1, 2, 3]] * 2)
    trained, evaluated = module.train()(same), module.eval()(same)
    dropped = trained == 0
    assert 0 < dropped.float().mean() < 1
    assert not torch.equal(dropped[0], dropped[1])
    assert_close(trained, evaluated.masked_fill(dropped, 0) * 2)


def test_arguments_out_of_range_raise_an_error():
    with pytest.raises(ValueError, match=r"CharacterLSTM: dropout is 1\.5; give a probability in \[0, 1\]"):
        CharacterLSTM(SIZE, 3, 4, dropout=1.5)
    with pytest.raises(ValueError, match="CharacterCNN: filters is 0; give at least 1"):
        CharacterCNN(5, 3, 0)
    with pytest.raises(ValueError, match=r"CharacterCNN: widths are \[0\]; give one or more, each at least 1"):
        CharacterCNN(SIZE, 3, 4, widths=(0,))
