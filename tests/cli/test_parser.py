from pathlib import Path

import pytest
import yaml

from seqkit.cli import main
from seqkit.cli.parser import sentence

pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)
NEEDED = "required; give a config by --config FILE or, for a trained model, a checkpoint by --ckpt_path FILE"
LISTED = "python -m seqkit fit --help lists all options"
LSTM = "seqkit.nn.LSTM of model.encoder has no option 'hiden_size'; did you mean hidden_size?"
OVERLONG = "data.overlong=trunc: must be one of raise, drop, truncate, solo; did you mean truncate?"


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert not Path("runs").exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


def test_a_value_does_not_control_the_terminal(folder, capsys):
    found = refused(capsys, "fit", "--config", "config.yaml", "--data.overlong=\x1b[2J")
    assert found.startswith(r"data.overlong=\x1b[2J: must be one of")


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("--conf=x", "--config"),
        ("--ckpt=x", "--ckpt_path"),
        ("--ckpt-path=x", "--ckpt_path"),
        ("--checkpoint=x", "--ckpt_path"),
        ("--seed=3", "--seed_everything"),
        ("--data.max_token=3", "--data.max_tokens"),
        ("--data.input=words", "--data.inputs"),
        ("--data.batch_size=32", "--data.max_sequences"),
        ("--max_tokens=3", "--data.max_tokens"),
        ("--trainer.max_epoch=3", "--trainer.max_epochs"),
        ("--trainer.max-epochs=3", "--trainer.max_epochs"),
        ("--trainr.max_epochs=3", "--trainer.max_epochs"),
        ("-max_epochs=3", "--trainer.max_epochs"),
        ("--epochs=3", "--trainer.max_epochs"),
        ("--dropout=0.3", "--model.dropout"),
        ("--optimizer=Adam", "--model.optimizer"),
        ("--encoder.hidden_size=3", "--model.encoder.hidden_size"),
        ("--mod.init_args.dropout=0.3", "--model.init_args.dropout"),
        ("--lr=0.1", "--model.optimizer.lr"),
        ("--print-config", "--print_config"),
        ("--hlep", "--help"),
        ("--trainer.foo=1", None),
        ("--foo.bar=1", None),
        ("--xyz", None),
    ],
)
def test_a_misspelt_option_is_named_with_the_near_one(option, near, folder, capsys):
    name = option.partition("=")[0]
    end = f"did you mean {near}?" if near else LISTED
    assert refused(capsys, "fit", "--config", "config.yaml", option) == f"there is no option {name}; {end}"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("x.yaml", "'x.yaml' is no option; did you mean --config x.yaml?"),
        ("trainer.max_epochs=3", "'trainer.max_epochs=3' is no option; did you mean --trainer.max_epochs 3?"),
        ("3", f"'3' is no option; {LISTED}"),
        ("--trainer.max_epochs", "--trainer.max_epochs has no value; it takes one argument"),
        ("--trainer.max_epochs=2.5", "trainer.max_epochs=2.5: must be an integer"),
        ("--data.max_tokens=abc", "data.max_tokens=abc: must be an integer"),
        ("--seed_everything=x", "seed_everything=x: must be true or false or an integer"),
        ("--data.overlong=trunc", OVERLONG),
        ("--model=Taggr", "model: there is no class 'Taggr'; did you mean seqkit.Tagger?"),
        ("--model=seqkit.Taggr", "model: there is no seqkit.Taggr; did you mean seqkit.Tagger?"),
        ("--model=seqkt.Tagger", "model: there is no module 'seqkt'; did you mean seqkit?"),
        ("--model.dropot=0.3", "seqkit.Tagger of model has no option 'dropot'; did you mean dropout?"),
        ("--model.init_args.dropot=3", "seqkit.Tagger of model has no option 'dropot'; did you mean dropout?"),
        ("--model.lr=3", "seqkit.Tagger of model has no option 'lr'; did you mean model.optimizer.lr?"),
        ("--model.encoder.init_args.hiden_size=3", LSTM),
        ("--model.encoder.hidden_size=x", "model.encoder.hidden_size=x: must be an integer"),
        (
            "--model.encoder=seqkit.nn.LSTMM",
            "model.encoder: there is no seqkit.nn.LSTMM; did you mean seqkit.nn.LSTM?",
        ),
        ("--model.encoder=LSTM", "model.encoder: several classes are named LSTM; did you mean seqkit.nn.LSTM?"),
        (
            "--model.optimizer=torch.optim.Adm",
            "model.optimizer: there is no torch.optim.Adm; did you mean torch.optim.Adam?",
        ),
        ("--model.optimizer.lr=big", "model.optimizer.lr=big: must be a number"),
        ("--data.source=Fils", "data.source: there is no class 'Fils'; did you mean seqkit.data.Files?"),
        ("--data.source.pth=x", "seqkit.data.SavedDataset of data.source has no option 'pth'; did you mean path?"),
        (
            "--trainer.callbacks+=EarlyStp",
            "trainer.callbacks: there is no class 'EarlyStp'; did you mean seqkit.callbacks.EarlyStop?",
        ),
    ],
)
def test_a_wrong_argument_is_explained_in_one_sentence(option, message, folder, capsys):
    assert refused(capsys, "fit", "--config", "config.yaml", option) == message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainer.max_epoch", 3, "there is no option trainer.max_epoch; did you mean trainer.max_epochs?"),
        ("trainr", {"max_epochs": 3}, "there is no option trainr.max_epochs; did you mean trainer.max_epochs?"),
        ("trainer.max_epochs", "ten", "trainer.max_epochs=ten: must be an integer"),
        ("data.max_token", 3, "there is no option data.max_token; did you mean data.max_tokens?"),
        ("data.overlong", "trunc", OVERLONG),
        ("data.source", "rows", "data.source: there is no class 'rows'; give its path, such as seqkit.nn.LSTM"),
        (
            "data.source.class_path",
            "seqkit.data.Saved",
            "data.source: there is no seqkit.data.Saved; did you mean seqkit.data.SavedDataset?",
        ),
        ("model", "seqkit.Tagger", "model.encoder is required and is not given"),
        (
            "model",
            {"class_path": "seqkit.Tagger", "init_arg": {}},
            "there is no option model.init_arg; did you mean model.init_args?",
        ),
        (
            "model",
            {"clas_path": "seqkit.Tagger"},
            "there is no option model.clas_path; did you mean model.class_path?",
        ),
        ("model.class_path", "seqkit.Taggr", "model: there is no seqkit.Taggr; did you mean seqkit.Tagger?"),
        ("model.init_args.encodr", 3, "seqkit.Tagger of model has no option 'encodr'; did you mean encoder?"),
        ("model.init_args.encoder.init_args.hiden_size", 3, LSTM),
        (
            "model.init_args.encoder.init_args",
            {"bidirectional": True},
            "model.encoder.hidden_size is required and is not given",
        ),
        (
            "trainer.callbacks",
            [{"class_path": "EarlyStop", "init_args": {"patienc": 3}}],
            "seqkit.callbacks.EarlyStop of trainer.callbacks has no option 'patienc'; did you mean patience?",
        ),
    ],
)
def test_a_wrong_key_of_a_config_is_explained_in_one_sentence(key, value, message, folder, capsys):
    config = place = yaml.safe_load(Path("config.yaml").read_text())
    *parents, last = key.split(".")
    for name in parents:
        place = place[name]
    place[last] = value
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert refused(capsys, "fit", "--config", "config.yaml") == message


def test_a_command_without_a_config_says_what_to_give(capsys):
    assert refused(capsys, "test") == f"data.source and model are {NEEDED}"


def test_a_long_value_is_cut_off():
    message = "Parser key \"model\":\n  Given value type: <class 'dict'>\n  bad: " + "x" * 5000
    assert len(sentence(message, [], "python -m seqkit fit")) < 400
