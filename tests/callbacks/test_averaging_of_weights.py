"""Lightning's callbacks that average weights, with seqkit's tasks and checkpoints."""

from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint
from seqkit.nn import LSTM, Embedding
from tests.tasks import unseen_cases
from tests.tasks.unseen_cases import IGNORED


def build(splits, **options):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    torch.manual_seed(0)
    model = Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=4),
        embedding=partial(Embedding, embedding_dim=4),
        optimizer=partial(torch.optim.SGD, lr=0.5),
        **options,
    )
    return model, data


def means(states):
    return [torch.stack(of).mean(0) for of in zip(*states, strict=True)]


def moving(states, decay):
    found = states[0]
    for state in states[1:]:
        found = [decay * old + (1 - decay) * new for old, new in zip(found, state, strict=True)]
    return found


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


class Weights(Callback):
    """Records the weights after each step, and at the start of each epoch."""

    def __init__(self):
        self.states, self.starts = [], []

    def on_train_epoch_start(self, trainer, pl_module):
        self.starts.append(weights(pl_module))

    def on_train_batch_end(self, trainer, pl_module, *rest):
        self.states.append(weights(pl_module))


@pytest.mark.parametrize("averaging", [WeightAveraging, partial(EMAWeightAveraging, decay=0.8)])
def test_the_averages_are_those_of_the_weights_after_each_step(averaging, splits, trainer, tmp_path):
    model, data = build(splits)
    steps = Weights()
    best = BestCheckpoint(tmp_path)
    run = trainer(max_epochs=2, callbacks=[steps, averaging(), best], enable_checkpointing=True)
    run.fit(model, data)
    assert len(steps.states) == run.global_step > 2
    expected = means(steps.states) if averaging is WeightAveraging else moving(steps.states, 0.8)
    for actual, correct in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(actual.detach(), correct)
    # The checkpoint holds the average, too, and nothing else is needed to test it.
    again = Tagger.load_from_checkpoint(best.last_model_path, weights_only=True)
    for actual, correct in zip(again.parameters(), expected, strict=True):
        torch.testing.assert_close(actual.detach(), correct)
    (scores,) = trainer().test(again, data, verbose=False)
    assert scores == run.test(model, data, verbose=False)[0]


@pytest.mark.filterwarnings("ignore:Swapping scheduler")
def test_stochastic_weight_averaging_takes_the_mean_over_the_starts_of_epochs(splits, trainer):
    model, data = build(splits)
    recorded = Weights()
    swa = StochasticWeightAveraging(swa_lrs=0.1, swa_epoch_start=2, annealing_epochs=1)
    trainer(max_epochs=4, callbacks=[recorded, swa], limit_val_batches=0).fit(model, data)
    assert len(recorded.starts) == 4
    for actual, correct, last in zip(
        model.parameters(), means(recorded.starts[1:]), recorded.states[-1], strict=True
    ):
        torch.testing.assert_close(actual.detach(), correct)
        assert not torch.equal(correct, last)


@pytest.mark.filterwarnings(IGNORED)
def test_averages_are_evaluated_with_labels_that_training_lacks(trainer):
    model, data = unseen_cases.build(Tagger, "tags")
    run = trainer(max_epochs=2, callbacks=[EMAWeightAveraging(decay=0.5)])
    run.fit(model, data)
    last = {name: float(run.callback_metrics[name]) for name in ("val_loss", "val_f1", "val_span_f1")}
    (scores,) = trainer().validate(model, data, verbose=False)  # the fit leaves the averages in the model
    assert {name: scores[name] for name in last} == pytest.approx(last)
