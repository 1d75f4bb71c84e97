import json
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from huggingface_hub import ModelHubMixin
from safetensors.torch import load_file

import seqkit
from seqkit import LanguageModel, SequenceDataModule, Tagger
from seqkit.losses import CrossEntropy
from seqkit.nn import LSTM, Embedding
from seqkit.tasks import SequenceModule
from tests.tasks.language_model.cases import KINDS as LANGUAGE_KINDS
from tests.tasks.language_model.cases import build as build_language_model
from tests.tasks.language_model.cases import texts
from tests.tasks.sharing.cases import assert_same
from tests.tasks.test_every_task import KINDS, build


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_comes_back_bit_by_bit(kind, rows, tmp_path):
    model, data = build(kind, rows)
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path / "shared")
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert len({path.stat().st_mode for path in (tmp_path / "shared").iterdir()}) == 1
    assert_same(model, type(model).from_pretrained(tmp_path / "shared"), data)
    assert_same(model, SequenceModule.from_pretrained(str(tmp_path / "shared")), data)


@pytest.mark.parametrize("kind", LANGUAGE_KINDS)
def test_language_models_come_back_bit_by_bit(kind, tmp_path):
    import datasets

    made = datasets.Dataset.from_dict({"text": texts(20)})
    model, data = build_language_model({"train": made, "test": made}, **LANGUAGE_KINDS[kind])
    model.save_pretrained(tmp_path)
    loaded = LanguageModel.from_pretrained(tmp_path)
    assert_same(model, loaded, data)
    if kind == "tied":
        assert loaded.softmax.linear.weight is loaded.embeddings[0].weight
        names = load_file(tmp_path / "model.safetensors").keys()
        assert "softmax.linear.weight" not in names or "embeddings.0.weight" not in names


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_of_another_precision_are_not_rounded(dtype, tagger, tmp_path):
    tagger = tagger.to(dtype)
    tagger.save_pretrained(tmp_path)
    loaded = Tagger.from_pretrained(tmp_path)
    assert loaded.dtype == dtype
    for name, value in tagger.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_the_order_of_the_inputs_is_kept(rows, tmp_path):
    from seqkit.data import Words, WordShapes

    inputs = {"words": Words(), "again": WordShapes(column="words")}
    data = SequenceDataModule(rows, inputs=inputs, targets="tags", max_tokens=64)
    parts = {"embedding": partial(Embedding, embedding_dim=3), "encoder": partial(LSTM, hidden_size=2)}
    model = Tagger(data.spec, **parts)
    model.save_pretrained(tmp_path)
    loaded = Tagger.from_pretrained(tmp_path)
    assert list(loaded.spec["inputs"]) == ["words", "again"]
    assert_same(model, loaded, data)


def test_load_takes_a_folder_of_any_task(rows, tmp_path):
    model, data = build("multitask", rows)
    model.save_pretrained(tmp_path)
    assert_same(model, seqkit.load(str(tmp_path)), data)
    assert_same(model, seqkit.load(tmp_path, map_location="cpu"), data)


def test_the_config_is_what_a_checkpoint_keeps(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["seqkit_version"] == seqkit.__version__
    assert config["class_path"] == "seqkit.Tagger"
    kept = {key: value for key, value in tagger.hparams.items() if not key.startswith("_")}
    assert config["init_args"] | {"spec": config["spec"]} == kept


def test_arguments_replace_those_of_the_config(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    assert Tagger.from_pretrained(tmp_path, dropout=0.5).dropout.p == 0.5


def test_a_loaded_model_trains_on_and_is_saved_again(rows, trainer, tmp_path):
    model, data = build("crf", rows)
    model.save_pretrained(tmp_path / "one")
    loaded = Tagger.from_pretrained(tmp_path / "one").train()
    run = trainer(max_epochs=1)
    run.fit(loaded, data)
    run.save_checkpoint(tmp_path / "run.ckpt")
    loaded.save_pretrained(tmp_path / "two")
    assert_same(loaded, Tagger.from_pretrained(tmp_path / "two"), data)
    assert_same(loaded, Tagger.load_from_checkpoint(tmp_path / "run.ckpt").eval(), data)


def test_arguments_that_model_hub_mixin_cannot_write(rows, tmp_path):
    """It would call ``dataclasses.asdict`` with the class."""

    @dataclass
    class OwnLoss(CrossEntropy):
        smoothing: float = 0.5

        def __post_init__(self):
            super().__init__()

    class OwnTagger(Tagger):
        def __init__(self, spec, *, kind=OwnLoss, **options):
            super().__init__(spec, **options)

    _, data = build("tagger", rows)
    parts = {"embedding": partial(Embedding, embedding_dim=3), "encoder": partial(LSTM, hidden_size=2)}
    model = OwnTagger(data.spec, kind=OwnLoss, **parts)
    assert isinstance(model, ModelHubMixin)


def test_files_of_others_stay_and_the_card_is_kept(rows, tmp_path):
    for name in ("notes.txt", "README.md", "config.json"):
        (tmp_path / name).write_text("mine")
    model, data = build("tagger", rows)
    with pytest.warns(UserWarning, match=r"README\.md exists and is kept; remove it for a card of this model"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == (tmp_path / "README.md").read_text() == "mine"
    assert_same(model, Tagger.from_pretrained(tmp_path), data)
    assert len(list(tmp_path.iterdir())) == 4


def test_an_error_leaves_nothing_half_written(tagger, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqkit.tasks.sharing.files.save", full)
    with pytest.raises(OSError, match=r"cannot write .*shared: No space left on device; free some space"):
        tagger.save_pretrained(tmp_path / "shared")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        tagger.save_pretrained(tmp_path / "old")
    assert [path.read_text() for path in (tmp_path / "old").iterdir()] == ["before"]


def test_a_file_in_the_place_of_the_folder(tagger, tmp_path):
    (tmp_path / "shared").write_text("mine")
    with pytest.raises(OSError, match=r"cannot write .*shared"):
        tagger.save_pretrained(tmp_path / "shared")
    assert (tmp_path / "shared").read_text() == "mine"


def test_an_option_that_the_card_lacks(tagger, tmp_path):
    with pytest.raises(
        TypeError, match=r"the card has no option 'licence'; did you mean 'license'.*it has metrics, data"
    ):
        tagger.save_pretrained(tmp_path / "shared", licence="mit")
    assert not (tmp_path / "shared").exists()
