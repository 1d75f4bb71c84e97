import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqkit.nn
from seqkit.nn import restore_recurrent, swap_recurrent


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnns = nn.ModuleList([nn.RNN(5, 6, batch_first=True), nn.GRU(6, 7, batch_first=True)])
        self.deep = nn.Sequential(nn.LSTM(7, 4, num_layers=2, bidirectional=True, batch_first=True, proj_size=2))
        self.head = nn.Linear(4, 3)

    def forward(self, padded, lengths):
        for rnn in [*self.rnns, self.deep[0]]:
            if lengths is None:
                padded, _ = rnn(padded)
            else:
                packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
                padded, _ = pad_packed_sequence(rnn(packed)[0], batch_first=True)
        return self.head(padded)


def results(model, lengths):
    data = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    model.zero_grad()
    output = model(data, lengths)
    output.square().sum().backward()
    return [output.detach(), data.grad, *(p.grad.clone() for p in model.parameters())]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 6, 1])], ids=["padded", "packed"])
def test_swapped_and_restored_models_compute_the_same(lengths):
    torch.manual_seed(0)
    model = Model()
    before = results(model, lengths)
    assert swap_recurrent(model) == ["rnns.0", "rnns.1", "deep.0"]
    swapped = results(model, lengths)
    assert restore_recurrent(model) == ["rnns.0", "rnns.1", "deep.0"]
    torch.testing.assert_close(swapped, before)
    torch.testing.assert_close(results(model, lengths), before, rtol=0, atol=0)


def test_swap_keeps_objects_parameters_flags_and_dtype():
    model = Model().double().eval()
    modules, parameters = list(model.modules()), list(model.parameters())
    swap_recurrent(model)
    assert [type(m) for m in [*model.rnns, model.deep[0]]] == [seqkit.nn.RNN, seqkit.nn.GRU, seqkit.nn.LSTM]
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert not any(m.training for m in model.modules())
    assert model(torch.randn(2, 3, 5, dtype=torch.float64), None).dtype == torch.float64
    restore_recurrent(model)
    assert [type(m) for m in [*model.rnns, model.deep[0]]] == [nn.RNN, nn.GRU, nn.LSTM]


def test_existing_optimizer_trains_the_swapped_model():
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    swap_recurrent(model)
    before = [p.detach().clone() for p in model.parameters()]
    results(model, None)
    optimizer.step()
    assert all(not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_the_model_itself_is_swapped():
    model = nn.LSTM(3, 4)
    assert swap_recurrent(model) == [""]
    assert type(model) is seqkit.nn.LSTM
    assert swap_recurrent(model) == []


def test_subclasses_are_not_swapped():
    class Own(nn.LSTM):
        pass

    model = nn.Sequential(Own(3, 4))
    assert swap_recurrent(model) == []
    assert type(model[0]) is Own


def test_swap_keeps_hooks():
    model, seen = Model(), []
    model.deep[0].register_forward_hook(lambda *_: seen.append("forward"))
    model.deep[0].register_full_backward_hook(lambda *_: seen.append("backward"))
    swap_recurrent(model)
    results(model, None)
    assert seen == ["forward", "backward"]


def test_parametrized_modules_raise_an_error():
    model = parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0")
    message = r"^the model itself \(GRU\) has parametrizations of \['weight_hh_l0'\]; remove them first"
    with pytest.raises(ValueError, match=message):
        swap_recurrent(model)
