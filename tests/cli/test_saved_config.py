import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seqkit import Tagger
from seqkit.cli import main
from seqkit.cli.saved_config import consented_modules, read_saved_config
from tests.cli.cases import one_parser
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
from tests.tasks.sharing.cases import edit

__all__ = ["den", "one_parser"]

QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.logger=false"]
EVIL_SOURCE = {"class_path": "evil.Files", "init_args": {"train": "rows.jsonl"}}
VARIANTS = PATHS | MODEL_PLACES | DATA_PLACES
ENTRY_POINTS = ("fit", "validate", "test", "predict")

pytestmark = [
    # Calls of Lightning that the pinned jsonargparse deprecates.
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
    pytest.mark.filterwarnings("ignore:WarmupCosine"),  # the resumed fits have more epochs
]


def cases():
    """Every variant with `test`, and a third of them with each other subcommand."""
    for number, variant in enumerate(VARIANTS):
        yield variant, "test"
        yield variant, ("fit", "validate", "predict")[number % 3]


@pytest.mark.parametrize(("variant", "subcommand"), list(cases()))
def test_a_hostile_checkpoint_is_refused(variant, subcommand, den, one_parser):
    hostile = save_edited(VARIANTS[variant])
    with pytest.raises((ValueError, TypeError), match=r"hyper_parameters|seqkit_data|model|data|spec"):
        main([subcommand, f"--ckpt_path={hostile}", *QUICK])
    assert_nothing_ran(den)


@pytest.mark.parametrize("variant", ["a text in the spec", "texts in the spec"])
@pytest.mark.filterwarnings("ignore:BestCheckpoint")
def test_a_text_in_the_spec_is_only_a_text(variant, den, one_parser):
    """Such as a label. The parser would read it, and import what it names, whenever it dumps the config."""
    hostile = save_edited(IGNORED[variant])
    options = ["--trainer.max_epochs=2", "--trainer.default_root_dir=runs", *QUICK[:-1]]
    main(["fit", f"--ckpt_path={hostile}", *options])
    (checkpoint,) = den.rglob("last.ckpt")
    main(["test", f"--ckpt_path={checkpoint}", *QUICK])
    assert_nothing_ran(den)


@pytest.mark.parametrize(
    "variant", ["os.system", "subprocess.Popen", "builtins.exec", "evil.LSTM", "my_project2.LSTM"]
)
def test_consent_to_other_modules_changes_nothing(variant, den, one_parser):
    """Functions and classes of another kind stay refused, also if the user consents to their modules."""
    hostile = save_edited(VARIANTS[variant])
    with pytest.raises(ValueError, match=r"model\.encoder"):
        main(["test", f"--ckpt_path={hostile}", "--trust", "my_project", "os", "subprocess", "builtins", *QUICK])
    assert_nothing_ran(den)


@pytest.mark.parametrize("subcommand", ENTRY_POINTS)
def test_a_pickled_object_is_refused(subcommand, den, one_parser):
    with pytest.raises(ValueError, match=r"hostile\.ckpt is damaged, or holds more than tensors and plain types"):
        main([subcommand, f"--ckpt_path={save_payload()}", *QUICK])
    assert_nothing_ran(den)


def test_a_pickled_object_is_refused_where_a_config_names_the_checkpoint(den):
    """The command line reads only the checkpoints that its arguments name; the trainer reads this one."""
    save_payload()
    Path("own.yaml").write_text(
        yaml.safe_dump(yaml.safe_load(Path("config.yaml").read_text()) | {"ckpt_path": "hostile.ckpt"})
    )
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        main(["fit", "--config", "own.yaml", "--trainer.default_root_dir=runs", *QUICK])
    assert_nothing_ran(den)


@pytest.mark.slow
def test_a_hostile_checkpoint_exits_with_an_error(den):
    """As a new process, and with the names of what it refuses and of the remedy."""
    hostile = save_edited(MODEL_PLACES["encoder"])
    run = [sys.executable, "-m", "seqkit", "test", f"--ckpt_path={hostile}", *QUICK]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "model.encoder names 'evil.LSTM'" in done.stderr
    assert "--trust evil" in done.stderr
    assert_nothing_ran(den)


OWN = """
import torch
import seqkit, seqkit.data, seqkit.nn

class OwnWords(seqkit.data.Words): pass
class OwnFiles(seqkit.data.Files): pass
class OwnLSTM(seqkit.nn.LSTM): pass
class OwnSGD(torch.optim.SGD): pass
class OwnTagger(seqkit.Tagger): pass
"""


@pytest.fixture
def own(den):
    """A project of one's own, a config that names its classes, and a checkpoint of it."""
    (den / "my_project.py").write_text(OWN)
    config = yaml.safe_load(Path("config.yaml").read_text())
    config["model"]["class_path"] = "my_project.OwnTagger"
    arguments = config["model"]["init_args"]
    arguments["encoder"] = {"class_path": "my_project.OwnLSTM", "init_args": {"hidden_size": 2}}
    arguments["optimizer"] = {"class_path": "my_project.OwnSGD", "init_args": {"lr": 0.1}}
    config["data"]["source"]["class_path"] = "my_project.OwnFiles"
    config["data"]["inputs"]["words"] = {"class_path": "my_project.OwnWords"}
    Path("own.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    main(["fit", "--config", "own.yaml", "--trainer.max_epochs=1", "--trainer.default_root_dir=runs", *QUICK])
    (checkpoint,) = den.rglob("last.ckpt")
    forget_modules()
    return checkpoint


def test_an_own_project_works_with_consent(own):
    alone = [f"--ckpt_path={own}", *QUICK]
    for subcommand in ENTRY_POINTS:
        with pytest.raises(ValueError, match=r"'my_project\.OwnTagger'.*--trust my_project"):
            main([subcommand, *alone])
        assert "my_project" not in sys.modules
        options = ["--trainer.max_epochs=2", "--trainer.default_root_dir=again"] if subcommand == "fit" else []
        cli = main([subcommand, *alone, "--trust", "my_project", *options])
        assert type(cli.model).__module__ == type(cli.model.encoder).__module__ == "my_project"
        forget_modules()


def test_classes_that_the_own_config_names_need_no_further_consent(own):
    options = ["--trainer.max_epochs=2", "--trainer.default_root_dir=again", *QUICK]
    cli = main(["fit", "--config=own.yaml", f"--ckpt_path={own}", *options])
    assert type(cli.model.encoder).__module__ == "my_project"
    assert cli.trainer.current_epoch == 2


@pytest.mark.parametrize(
    ("args", "modules"),
    [
        (["fit", "--trust", "a", "b.c", "--data.source=d.Source"], ["a", "b.c", "d"]),
        (["fit", "--trust=a", "--model", "b.c.Task", "--model.loss", "c.f"], ["a", "b"]),
        (["fit", "--data.inputs={words: {class_path: a.Words}}", "--data.source.class_path=b.Files"], ["a", "b"]),
        (["fit", "--data.source.init_args.train=evil.txt", "--ckpt_path", "evil.ckpt"], []),
        (["fit", "--model=seqkit.Tagger", "--model.optimizer.class_path=torch.optim.SGD"], []),
        (["fit", "--config={trust: [a], model: {class_path: b.Task}}"], ["a", "b"]),
        (["fit", "--print_config", "--data.source", "{unclosed"], []),
        (["fit", "--config={trainer: {callbacks: [{class_path: lightning.pytorch.callbacks.Timer}]}}"], []),
    ],
)
def test_consented_modules(args, modules):
    assert consented_modules(args) == modules


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (["--model.optimizer.class_path=torch.optim.Adam"], False),
        (["--model.init_args.optimizer", "Adam"], False),
        (["--config={model: {init_args: {optimizer: {class_path: torch.optim.Adam}}}}"], False),
        (["--model.optimizer=SGD", "--model.encoder=GRU"], True),
        (["--model.optimizer.class_path", "torch.optim.sgd.SGD"], True),
        (["--model.optimizer.lr=0.1"], True),
    ],
)
def test_a_part_of_another_class_keeps_no_arguments(args, kept, den):
    """A text that one class takes as a text could name a class for the other one."""
    config = read_saved_config(["fit", "--ckpt_path=tagger.ckpt", *args]).config
    optimizer = config["model"]["init_args"]["optimizer"]
    assert optimizer["class_path"] == "torch.optim.SGD"
    assert optimizer["init_args"].get("lr") == (0.5 if kept else None)


def test_a_model_of_another_class_is_refused_before_it_gets_the_arguments(den):
    with pytest.raises(ValueError, match=r"is one of seqkit\.Tagger, but the model is Classifier; load it with"):
        read_saved_config(["fit", "--ckpt_path=tagger.ckpt", "--model=Classifier"])


def test_saved_trust_of_another_has_no_effect(den):
    """A checkpoint cannot consent for the user."""
    hostile = save_edited(lambda saved: saved["seqkit_data"].update(trust=["evil"], source=EVIL_SOURCE))
    with pytest.raises(ValueError, match=r"data\.source names 'evil\.Files'"):
        read_saved_config(["test", f"--ckpt_path={hostile}"])
    assert_nothing_ran(den)


@pytest.mark.parametrize(
    "change", [{"class_path": "evil.Task"}, {"init_args": {"encoder": {"class_path": "evil.RNN"}}}]
)
def test_a_hostile_folder_is_refused(change, den, one_parser):
    Tagger.load_from_checkpoint("tagger.ckpt").save_pretrained("shared")
    forget_modules()
    edit(Path("shared"), **change)
    for subcommand in ("test", "predict"):
        with pytest.raises(ValueError, match=r"names 'evil\.\w+'. Only classes of seqkit"):
            main([subcommand, "--ckpt_path=shared", "--data.source=seqkit.data.Files", *QUICK])
    assert_nothing_ran(den)
