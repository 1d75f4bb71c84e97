import pickle
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from seqkit import SequenceDataModule, Tagger, Task
from seqkit.data import Files, Words
from seqkit.nn import LSTM, Embedding
from seqkit.tasks import SequenceModule
from tests.hostile import (
    DATA_PLACES,
    IGNORED,
    MODEL_PLACES,
    PATHS,
    assert_nothing_ran,
    den,
    forget_modules,
    save_edited,
    save_payload,
)

__all__ = ["den"]

ROWS = {"train": "rows.jsonl", "validation": "rows.jsonl", "test": "rows.jsonl"}


@pytest.mark.parametrize("variant", PATHS | MODEL_PLACES)
def test_a_hostile_checkpoint_is_refused(variant, den):
    hostile = save_edited((PATHS | MODEL_PLACES)[variant])
    with pytest.raises((ValueError, TypeError), match=r"hyper_parameters|model|spec"):
        Tagger.load_from_checkpoint(hostile)
    assert_nothing_ran(den)


@pytest.mark.parametrize("variant", DATA_PLACES | IGNORED)
def test_what_a_model_does_not_need_is_not_read(variant, den):
    model = Tagger.load_from_checkpoint(save_edited((DATA_PLACES | IGNORED)[variant]))
    assert isinstance(model.encoder, LSTM)
    assert_nothing_ran(den)


def test_a_pickled_object_is_refused(den):
    with pytest.raises(ValueError, match="is damaged, or holds more than tensors and plain types"):
        Tagger.load_from_checkpoint(save_payload())
    with open(save_payload(), "rb") as file, pytest.raises(ValueError, match="is damaged, or holds more than"):
        Tagger.load_from_checkpoint(file)
    assert_nothing_ran(den)


def test_a_data_module_is_not_loaded(den):
    """Lightning would import and call what the checkpoint names."""
    with pytest.raises(NotImplementedError, match=r"make one with spec=model\.spec"):
        SequenceDataModule.load_from_checkpoint(save_edited(IGNORED["data module"]))
    assert_nothing_ran(den)


def quick(**options):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("variant", [*[*(PATHS | MODEL_PLACES | DATA_PLACES)][::4], *IGNORED])
def test_a_fit_resumes_from_a_hostile_checkpoint_without_reading_its_names(variant, den):
    """The trainer restores the states of a model that the script has built."""
    model = Tagger.load_from_checkpoint("tagger.ckpt")
    data = SequenceDataModule(Files(**ROWS), spec=model.spec, max_tokens=16)
    hostile = save_edited((PATHS | MODEL_PLACES | DATA_PLACES | IGNORED)[variant])
    quick(max_epochs=1).fit(model, data, ckpt_path=hostile)
    assert_nothing_ran(den)


@pytest.mark.parametrize("step", ["fit", "validate", "test", "predict"])
def test_a_trainer_refuses_a_pickled_object(step, den):
    model = Tagger.load_from_checkpoint("tagger.ckpt")
    data = SequenceDataModule(Files(**ROWS), spec=model.spec, max_tokens=16)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        getattr(quick(max_epochs=1), step)(model, datamodule=data, ckpt_path=save_payload())
    assert_nothing_ran(den)


def test_classes_of_the_same_program_need_no_consent(den):
    """Data module, spec, model, fit, checkpoint, test: in one process, with an encoder and a part of one's own."""

    class OwnWords(Words):
        pass

    class OwnLSTM(LSTM):
        pass

    data = SequenceDataModule(
        Files(**ROWS), inputs={"words": OwnWords()}, targets="tags", max_tokens=16, validation_fraction=0
    )
    model = Tagger(
        data.spec, encoder=partial(OwnLSTM, hidden_size=2), embedding=partial(Embedding, embedding_dim=2)
    )
    run = quick(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint("own.ckpt")
    run.test(model, data, ckpt_path="own.ckpt", verbose=False)
    loaded = Tagger.load_from_checkpoint("own.ckpt")
    assert isinstance(loaded.encoder, OwnLSTM)
    again = SequenceDataModule(Files(**ROWS), spec=loaded.spec, max_tokens=16)
    quick().test(loaded, again, verbose=False)


@pytest.fixture
def own(den):
    """A checkpoint of a project of one's own, which this process has forgotten."""
    (den / "my_project.py").write_text(
        "import seqkit, seqkit.data, seqkit.nn\n"
        "class OwnWords(seqkit.data.Words): pass\n"
        "class OwnLSTM(seqkit.nn.LSTM): pass\n"
        "class OwnTagger(seqkit.Tagger): pass\n"
    )
    import my_project

    data = SequenceDataModule(Files(**ROWS), inputs={"words": my_project.OwnWords()}, targets="tags", max_tokens=16)
    encoder = partial(my_project.OwnLSTM, hidden_size=2)
    model = my_project.OwnTagger(data.spec, encoder=encoder, embedding=partial(Embedding, embedding_dim=2))
    run = quick(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint("own.ckpt")
    forget_modules()
    return "own.ckpt"


@pytest.mark.parametrize("cls", [Tagger, Task, SequenceModule])
def test_classes_of_another_project_need_consent(cls, own):
    with pytest.raises(ValueError, match=r"names 'my_project\.OwnTagger'.*trust=\['my_project'\]"):
        cls.load_from_checkpoint(own)
    with pytest.raises(ValueError, match=r"names 'my_project\.OwnTagger'"):
        cls.load_from_checkpoint(own, trust=["my_project2", "my", "my_project.OwnTagger"])
    model = cls.load_from_checkpoint(own, trust=["my_project"])
    assert type(model).__module__ == type(model.encoder).__module__ == "my_project"
    data = SequenceDataModule(Files(**ROWS), spec=model.spec, max_tokens=16)
    quick().test(model, data, verbose=False)


def test_the_class_that_loads_needs_no_consent_but_its_parts_do(own):
    import my_project

    with pytest.raises(ValueError, match=r"spec\.inputs\.words names 'my_project\.OwnWords'"):
        my_project.OwnTagger.load_from_checkpoint(own)
    assert my_project.OwnTagger.load_from_checkpoint(own, trust="my_project").encoder.hidden_size == 2


def test_a_spec_of_another_project_needs_consent(own):
    spec = torch.load(own, weights_only=True)["hyper_parameters"]["spec"]
    with pytest.raises(ValueError, match=r"spec\.inputs\.words names 'my_project\.OwnWords'"):
        SequenceDataModule(Files(**ROWS), spec=spec, max_tokens=16)
    data = SequenceDataModule(Files(**ROWS), spec=spec, max_tokens=16, trust=["my_project"])
    assert len(data.rows("train")) == 12
    pickled = pickle.dumps(data)
    forget_modules()  # as in a process that another one starts
    assert len(pickle.loads(pickled).rows("test")) == 12


def test_arguments_replace_those_of_the_checkpoint(own):
    encoder = partial(LSTM, hidden_size=2, num_layers=1)
    loaded = Tagger.load_from_checkpoint("tagger.ckpt", encoder=partial(encoder, bidirectional=True), dropout=0.5)
    assert loaded.dropout.p == 0.5
    saved = torch.load("tagger.ckpt", weights_only=True)["hyper_parameters"]
    assert loaded.hparams["encoder"]["class_path"] == saved["encoder"]["class_path"]
    with pytest.raises(ValueError, match="hparams_file is not read"):
        Tagger.load_from_checkpoint("tagger.ckpt", hparams_file="hparams.yaml")


def test_every_argument_is_rebuilt_as_it_was(den):
    """What is saved again equals what was saved."""
    saved = torch.load("tagger.ckpt", weights_only=True)["hyper_parameters"]
    assert dict(Tagger.load_from_checkpoint("tagger.ckpt").hparams) == saved


def test_other_files(den):
    torch.save([1, 2], "list.ckpt")
    with pytest.raises(ValueError, match=r"list\.ckpt holds a list; it is no checkpoint of seqkit"):
        Tagger.load_from_checkpoint(Path("list.ckpt"))
    torch.save({"state_dict": {}}, "weights.ckpt")
    with pytest.raises(ValueError, match="hyper_parameters lack the class or the spec"):
        Tagger.load_from_checkpoint("weights.ckpt")
