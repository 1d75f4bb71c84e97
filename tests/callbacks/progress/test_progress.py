import io
import re
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, LightningModule

from seqkit import Classifier, SequenceDataModule, Tagger
from seqkit.callbacks import Progress, Throughput
from seqkit.nn import LSTM, Embedding

NUMBER = r"[\d.,]+"
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


def tagger(splits, **options):
    torch.manual_seed(0)
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32, **options)
    return Tagger(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4)
    ), data


class Losses(Callback):
    """The losses that a fit logs, and the units of each batch."""

    def __init__(self):
        self.losses, self.units = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(trainer.callback_metrics["train_loss"]))
        per_token = isinstance(pl_module, Tagger)
        self.units.append(int(batch.targets["tags"].batch_sizes.sum()) if per_token else len(batch.rows))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal(monkeypatch):
    """Make the standard output a terminal of 80 columns."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return stream


def test_a_file_gets_one_plain_line_an_epoch(splits, trainer, capsys):
    losses = Losses()
    model, data = tagger(splits)
    run = trainer(max_epochs=3, callbacks=[Progress(), losses], enable_progress_bar=True)
    run.fit(model, data)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\r" not in printed
    lines = printed.splitlines()
    steps = run.global_step // 3
    for epoch, line in enumerate(lines, 1):
        left = "" if epoch == 3 else "(  0:0. left)?"  # half a second is rounded to no time
        expected = (
            rf"epoch {epoch}/3  step {epoch * steps}  loss {NUMBER}  val_loss {NUMBER}  val_accuracy {NUMBER}  "
            rf"{NUMBER} tokens/s  0:\d\d spent{left}"
        )
        assert re.fullmatch(expected, line)
        rows = slice((epoch - 1) * steps, epoch * steps)
        pairs = list(zip(losses.losses[rows], losses.units[rows], strict=True))
        mean = sum(loss * units for loss, units in pairs) / sum(losses.units[rows])
        assert float(re.search(r" loss (\S+)", line)[1]) == pytest.approx(mean, abs=6e-4)
    assert len(lines) == 3
    assert f"val_accuracy {float(run.callback_metrics['val_accuracy']):.4f}" in lines[-1]


def test_a_loss_per_sequence_weighs_every_sequence_the_same(splits, trainer, capsys):
    data = SequenceDataModule(splits, inputs="words", targets="label", max_tokens=32)
    torch.manual_seed(0)
    model = Classifier(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4)
    )
    losses = Losses()
    trainer(max_epochs=1, callbacks=[Progress(), losses], enable_progress_bar=True).fit(model, data)
    mean = sum(a * b for a, b in zip(losses.losses, losses.units, strict=True)) / sum(losses.units)
    assert float(re.search(r" loss (\S+)", capsys.readouterr().out)[1]) == pytest.approx(mean, abs=6e-4)


def test_each_line_is_written_at_once(splits, trainer, monkeypatch):
    raw = io.BytesIO()
    written = []

    class AtStart(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            written.append(raw.getvalue().count(b"\n"))

    model, data = tagger(splits)
    run = trainer(max_epochs=2, callbacks=[Progress(), AtStart()], enable_progress_bar=True)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw, 1 << 16)))
    run.fit(model, data)
    assert written == [0, 1]


def test_a_validation_within_an_epoch_has_its_line(splits, trainer, capsys):
    model, data = tagger(splits)
    options = {"val_check_interval": 0.5, "callbacks": [Progress()], "enable_progress_bar": True}
    trainer(max_epochs=1, **options).fit(model, data)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["0.5/1", "1/1"]
    assert all("val_loss" in line for line in lines)


def test_an_epoch_has_no_line_shortly_after_that_of_a_validation(splits, trainer, capsys):
    torch.manual_seed(0)
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_sequences=3)
    model = Tagger(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    options = {"val_check_interval": 19, "callbacks": [Progress()], "enable_progress_bar": True}
    run = trainer(max_epochs=2, **options)
    run.fit(model, data)
    assert run.global_step == 40
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["0.95/2", "1.95/2"]


def test_an_epoch_without_validation_shows_no_older_scores(splits, trainer, capsys):
    model, data = tagger(splits)
    options = {"check_val_every_n_epoch": 2, "callbacks": [Progress()], "enable_progress_bar": True}
    trainer(max_epochs=3, **options).fit(model, data)
    lines = capsys.readouterr().out.splitlines()
    assert ["val_loss" in line for line in lines] == [False, True, False]
    assert all("  loss " in line for line in lines)


def test_a_fit_that_is_limited_by_steps_or_time(splits, trainer, capsys):
    model, data = tagger(splits)
    options = {"callbacks": [Progress()], "enable_progress_bar": True, "limit_val_batches": 0}
    trainer(max_steps=3, max_epochs=-1, **options).fit(model, data)
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match(r"epoch 0\.\d+  step 3/3  loss ", line)
    assert "left" not in line
    trainer(max_epochs=1, max_time={"hours": 2}, **options).fit(*tagger(splits))
    assert re.match(r"epoch 1/1  step \d+  loss ", capsys.readouterr().out)


def test_the_time_left_is_the_shortest_of_all_limits(splits, trainer, capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("seqkit.callbacks.progress.progress.time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Slow(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            now[0] += 60 / trainer.num_training_batches  # a minute an epoch

    model, data = tagger(splits)
    options = {"callbacks": [Slow(), Progress()], "enable_progress_bar": True, "limit_val_batches": 0}
    trainer(max_epochs=3, **options).fit(model, data)
    lines = capsys.readouterr().out.splitlines()
    assert [re.search(r"\d+ tokens/s  (.*)", line)[1] for line in lines] == [
        "1:00 spent  2:00 left",
        "2:00 spent  1:00 left",
        "3:00 spent",
    ]
    steps = len(data.train_dataloader())
    trainer(max_epochs=3, max_steps=2 * steps, **options).fit(*tagger(splits))
    assert "1:00 spent  1:00 left" in capsys.readouterr().out.splitlines()[0]
    trainer(max_epochs=3, max_time={"seconds": 50}, **options).fit(*tagger(splits))
    assert re.search(r"1:00 spent  0:(50|4\d) left", capsys.readouterr().out.splitlines()[0])


def test_the_speed_of_an_epoch_that_is_resumed(splits, trainer, capsys, monkeypatch, tmp_path):
    model, data = tagger(splits)
    run = trainer(max_steps=2)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "middle.ckpt")

    class Clock(Callback):
        now = tokens = 0

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            Clock.now += 2
            Clock.tokens += len(batch.inputs["words"].data)

    monkeypatch.setattr("seqkit.callbacks.throughput.time", SimpleNamespace(perf_counter=lambda: Clock.now))
    model, data = tagger(splits)
    run = trainer(max_epochs=1, callbacks=[Clock(), Progress()], enable_progress_bar=True)
    run.fit(model, data, ckpt_path=tmp_path / "middle.ckpt", weights_only=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert f"  {Clock.tokens / Clock.now:,.0f} tokens/s  " in line


def test_a_stream_without_a_length(splits, trainer, capsys):
    model, data = tagger(splits, streaming=True, pool=20)
    trainer(max_epochs=2, callbacks=[Progress(seconds=1e-9)], enable_progress_bar=True).fit(model, data)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("in epoch 1/2  step 1  loss ")
    assert "left" not in lines[0]
    ends = [line for line in lines if line.startswith("epoch")]
    assert [line.split()[1] for line in ends] == ["1/2", "2/2"]
    assert all("val_accuracy" in line for line in ends)


def test_a_long_epoch_has_further_lines(splits, trainer, capsys):
    model, data = tagger(splits)
    losses = Losses()
    run = trainer(max_epochs=1, callbacks=[Progress(seconds=1e-9), losses], enable_progress_bar=True)
    run.fit(model, data)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == run.global_step  # the last one is that of the epoch
    assert re.match(r"epoch 0\.\d+/1  step 1  loss ", lines[0])
    mean = sum(a * b for a, b in zip(losses.losses, losses.units, strict=True)) / sum(losses.units)
    assert float(re.search(r" loss (\S+)", lines[-1])[1]) == pytest.approx(mean, abs=6e-4)


def test_other_passes_have_one_line(splits, trainer, capsys):
    model, data = tagger(splits)
    run = trainer(callbacks=[Progress()], enable_progress_bar=True)
    for action, scores in (
        (partial(run.validate, verbose=False), rf"val_loss {NUMBER}  val_accuracy {NUMBER}  "),
        (partial(run.test, verbose=False), rf"test_loss {NUMBER}  test_accuracy {NUMBER}  "),
        (run.predict, ""),
    ):
        action(model, data)
        (line,) = capsys.readouterr().out.splitlines()
        assert re.fullmatch(rf"\w+  {scores}{NUMBER} tokens/s  0:\d\d spent", line)
    slow = trainer(callbacks=[Progress(seconds=1e-9)], enable_progress_bar=True)
    slow.predict(model, data)
    assert re.fullmatch(rf"predict  \d+%  {NUMBER} tokens/s.*", capsys.readouterr().out.splitlines()[0])


def test_a_terminal_has_a_bar_in_one_line_and_a_line_an_epoch(splits, trainer, monkeypatch):
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr("seqkit.callbacks.progress.progress._REFRESH", 0.0)
    model, data = tagger(splits)
    run = trainer(max_epochs=2, callbacks=[Progress()], enable_progress_bar=True)
    run.fit(model, data)
    run.predict(model, data)
    shown = [CONTROL.sub("", line).rstrip() for line in re.split(r"[\r\n]+", terminal.getvalue())]
    assert max(map(len, shown)) <= 80
    lines = [line for line in shown if line.startswith("epoch ") and "val_loss" in line]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all(" loss " in line and "val_accuracy" in line and "tokens/s" in line for line in lines)
    bars = [line for line in shown if re.match(r"epoch \d/2 [━╸╺ ]+\d+%", line)]
    assert len(bars) >= run.global_step
    assert all("  loss " in line and "tokens/s" in line for line in bars)
    assert any(line.startswith("validation ") for line in shown)
    assert any(line.startswith("predict ") and "%" in line for line in shown)


def test_no_value_is_read_in_a_step(splits, trainer, monkeypatch):
    """Lightning reads after each step what is logged for a progress bar."""
    reads = []
    model, data = tagger(splits)
    run = trainer(max_epochs=1, callbacks=[Progress(), Throughput(every=1)], enable_progress_bar=True)
    original = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: (reads.append(run.global_step), original(tensor))[1])
    run.fit(model, data)
    assert run.progress_bar_metrics == {}
    assert set(reads) <= {0, run.global_step}


def test_only_the_first_rank_prints(splits, trainer, capsys):
    model, data = tagger(splits)
    progress = Progress()
    run = trainer(max_epochs=1, callbacks=[progress], enable_progress_bar=True)
    progress.setup(SimpleNamespace(is_global_zero=False), model, "fit")
    run.fit(model, data)
    assert capsys.readouterr().out == ""
    progress.enable()
    run = trainer(max_epochs=1, callbacks=[progress], enable_progress_bar=True)
    run.fit(model, data)
    assert capsys.readouterr().out.startswith("epoch 1/1")


class Plain(LightningModule):
    """A module that is no task of seqkit, on batches that are not."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, _):
        return (self.weight * batch.float().mean()).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
def test_any_module_on_any_batches(trainer, capsys):
    options = {"callbacks": [Progress()], "enable_progress_bar": True, "accumulate_grad_batches": 2}
    loader = torch.utils.data.DataLoader(torch.arange(8), batch_size=2)
    trainer(max_epochs=1, log_every_n_steps=1, **options).fit(Plain(), loader)
    assert re.fullmatch(r"epoch 1/1  step 2  loss 3\.500  0:\d\d spent\n", capsys.readouterr().out)


def test_the_time_of_a_line_is_above_zero():
    with pytest.raises(ValueError, match="Progress got seconds=0; give a time above 0"):
        Progress(seconds=0)
