import sys

import pytest
from torch.optim import Adam

from seqkit.cli import main
from seqkit.cli.messages import message_of
from tests.cli.cases import small_tagger
from tests.export.cases import predictions, session_of


@pytest.fixture
def checkpoint(splits, trainer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, data = small_tagger(splits, Adam)
    run = trainer(max_steps=1, limit_val_batches=0)
    run.fit(model, data)
    run.save_checkpoint("best.ckpt")
    return model


def test_writes_the_file_and_says_what_is_in_it(checkpoint, tmp_path, capsys):
    path = main(["export", "--ckpt_path", "best.ckpt", "--output", "out/model.onnx"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("wrote out/model.onnx (0.0 MB)")
    assert printed[1:] == [
        "inputs:",
        "  lengths int64 (batch)",
        "  words int64 (batch, time)",
        "outputs:",
        "  tags int64 (batch, time)",
        "  tags_logits float32 (batch, time, 2)",
    ]
    found = session_of(path).run(["tags"], {"lengths": [2, 1], "words": [[1, 2], [3, 0]]})[0]
    assert found.shape == (2, 2)
    assert predictions(checkpoint, {"words": [["w1"]]})["tags"][0][0] in ("even", "odd")


def test_scores(checkpoint, capsys):
    path = main(["export", "--scores", "--ckpt_path=best.ckpt", "--output=model.onnx"])
    assert "  tags_scores float32 (batch, time)" in capsys.readouterr().out
    assert "tags_scores" in [value.name for value in session_of(path).get_outputs()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "m.onnx"], "required: --ckpt_path; python -m seqkit export --help lists all options"),
        (["--ckpt_path", "best.ckpt"], "required: --output"),
        (["--ckpt_path", "missing.ckpt", "--output", "m.onnx"], "--ckpt_path=missing.ckpt does not exist"),
        (
            ["--ckpt_path", "best.ckpt", "--output", "m.onnx", "--score"],
            "export has no option --score; did you mean --scores",
        ),
        (
            ["--ckpt_path", "best.ckpt", "--output", "m.onnx", "x"],
            "export has no option x; ",
        ),
        (["--ckpt_path", "best.ckpt", "--output", "best.ckpt"], "best.ckpt would be overwritten"),
        (["--ckpt_path"], "expected one argument"),
    ],
)
def test_wrong_arguments(checkpoint, arguments, message, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message) as raised:
        main(["export", *arguments])
    assert message_of(raised.value) == str(raised.value)
    assert sorted(tmp_path.iterdir()) == before


def test_without_onnx_the_message_names_the_extra(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError) as raised:
        main(["export", "--ckpt_path", "best.ckpt", "--output", "m.onnx"])
    assert "pip install 'seqkit-packed[onnx]'" in message_of(raised.value)


def test_a_folder_of_save_pretrained(checkpoint, capsys):
    checkpoint.save_pretrained("shared")
    path = main(["export", "--ckpt_path", "shared", "--output", "model.onnx"])
    assert session_of(path).get_outputs()[0].name == "tags"
    with pytest.raises(ValueError, match=r"--ckpt_path=. is a folder; name a file in it"):
        main(["export", "--ckpt_path", ".", "--output", "other.onnx"])
