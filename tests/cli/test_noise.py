import logging
import sys
import warnings

import datasets
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_info

from seqkit.cli.noise import without_noise

HIDDEN = (
    "GPU available: False, used: False",
    "TPU available: False, using: 0 TPU cores",
    "💡 Tip: For seamless cloud logging",
    "💡 Tip: For seamless cloud uploads",
    "Loading `train_dataloader` to estimate",
    "`Trainer.fit` stopped: `max_epochs=1` reached.",
    "`Trainer.fit` stopped: `max_steps=3` reached.",
    "Restoring states from the checkpoint path at",
)
ADVICE = ("does not have many workers which may be a bottleneck", "is smaller than the logging interval")


def messages(caplog, tmp_path):
    """What Lightning says in two fits on the CPU: texts that were logged, and warnings."""
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    options = {"default_root_dir": tmp_path, "logger": CSVLogger(tmp_path), "limit_val_batches": 0, **quiet}
    caplog.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", append=True)
        first = Trainer(max_epochs=1, limit_train_batches=3, **options)
        first.fit(BoringModel())
        assert first.estimated_stepping_batches == 3
        first.save_checkpoint(tmp_path / "saved.ckpt", weights_only=True)
        Trainer(max_steps=3, enable_checkpointing=False, **options).fit(BoringModel())
        second = Trainer(max_epochs=1, limit_train_batches=3, enable_checkpointing=False, **options)
        second.validate(BoringModel(), ckpt_path=tmp_path / "saved.ckpt", weights_only=True, verbose=False)
        model = BoringModel()
        model.on_fit_start = lambda: model.trainer.estimated_stepping_batches
        second.fit(model)
    return [record.getMessage() for record in caplog.records], [str(warning.message) for warning in caught]


@pytest.fixture
def many_cores(monkeypatch):
    """Lightning advises workers only where there are cores for them."""
    monkeypatch.setattr(
        "lightning.pytorch.trainer.connectors.data_connector.suggested_max_num_workers", lambda _: 8
    )


@pytest.mark.filterwarnings("default")
def test_hides_exactly_the_messages_that_say_nothing(caplog, tmp_path, many_cores):
    caplog.set_level(logging.INFO)
    all_infos, all_warnings = messages(caplog, tmp_path)
    with without_noise():
        infos, others = messages(caplog, tmp_path)
    for text in HIDDEN:
        assert any(info.startswith(text) for info in all_infos), f"Lightning no longer says {text!r}"
    for text in ADVICE:
        assert any(text in warning for warning in all_warnings), f"Lightning no longer warns: {text!r}"
    assert not [info for info in infos if info.startswith(HIDDEN)]
    assert not [warning for warning in others if any(text in warning for text in (*ADVICE, "LeafSpec"))]
    remaining = [info for info in all_infos if not info.startswith(HIDDEN)]
    assert infos == remaining
    assert remaining == [f"Loaded model weights from the checkpoint at {tmp_path / 'saved.ckpt'}"]


def test_other_messages_remain_and_nothing_else_changes(caplog):
    caplog.set_level(logging.INFO)
    before = [*warnings.filters], [*logging.getLogger("lightning.pytorch.utilities.rank_zero").filters]
    kept = ("GPU available: True (cuda), used: True", "GPU available: True (cuda), used: False", "💡 Tip: another")
    with without_noise():
        for text in kept:
            rank_zero_info(text)
        with pytest.warns(FutureWarning, match="another is deprecated"):
            warnings.warn("another is deprecated", FutureWarning, stacklevel=1)
    assert tuple(caplog.messages) == kept
    assert before == ([*warnings.filters], [*logging.getLogger("lightning.pytorch.utilities.rank_zero").filters])


def test_bars_of_datasets_are_for_terminals(monkeypatch):
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda shown=is_terminal: shown, raising=False)
        with without_noise():
            assert datasets.are_progress_bars_disabled() != is_terminal
        assert not datasets.are_progress_bars_disabled()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    datasets.disable_progress_bars()
    try:
        with without_noise():
            pass
        assert datasets.are_progress_bars_disabled()  # as the user wants
    finally:
        datasets.enable_progress_bars()
