import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import seqkit
from seqkit.cli import main
from seqkit.cli.commands.predict import _lines

SAVED_FILES = Path(__file__).parents[2] / "saved_files"
CHECKPOINT = str(SAVED_FILES / "tagger.ckpt")
TEXTS = ["Ann saw New York", "Bob  slept", "In Zürich , Ann sang"]
START = ["predict", "--ckpt_path", CHECKPOINT]

# Calls of Lightning that the pinned jsonargparse deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


@pytest.fixture(scope="module")
def model():
    return seqkit.load(CHECKPOINT)


@pytest.fixture
def typed(monkeypatch):
    """Let the standard input give pieces, one at a time."""

    def let(*pieces):
        left = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]
        file = SimpleNamespace(read1=lambda _: left.pop(0) if left else b"")
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))

    return let


def lines(printed):
    return [json.loads(line) for line in printed.out.splitlines()]


@pytest.mark.parametrize("scores", [False, True])
def test_texts_give_what_the_model_predicts_in_python(model, scores, capfd):
    options = [option for text in TEXTS for option in ("--text", text)]
    assert main([*START, *options, *(["--scores"] if scores else [])]) is None
    expected = model.predict([text.split() for text in TEXTS], scores=scores)
    assert lines(capfd.readouterr()) == expected
    assert expected[0].keys() == {"tags", "tags_spans", *(["tags_scores"] if scores else [])}


def test_lines_of_the_standard_input(model, typed, capfd):
    typed(b"\xef\xbb\xbfAnn saw ", "New York\r\nBob  slept\nIn Zü".encode()[:-1], b"\xbcrich , Ann sang")
    main([*START, "--text=-"])
    assert lines(capfd.readouterr()) == model.predict([text.split() for text in TEXTS])


def test_a_line_is_answered_before_the_next_one_is_there(model, capfd, monkeypatch):
    pieces, printed = ["Ann saw\n", "Bob\nAnn", "\n"], []

    def read(_):
        printed.append(len(capfd.readouterr().out.splitlines()))
        return pieces.pop(0).encode() if pieces else b""

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=SimpleNamespace(read1=read)))
    main([*START, "--text", "-"])
    assert printed == [0, 1, 1, 1]


def test_no_line_is_cut_between_two_pieces():
    text = "ä\nbb\n\nccc\r\n" * 3
    for size in range(1, 9):
        data = io.BytesIO(text.encode())
        file = SimpleNamespace(read1=lambda _, data=data, size=size: data.read(size))
        assert [line for part in _lines(file) for line in part] == ["ä", "bb", "", "ccc"] * 3


def test_an_empty_text(typed, capfd):
    for options in (["--text", "-"], ["--text", "Ann", "--text", "Bob", "--text", " "]):
        typed("Ann\nBob\n", " \nAnn\n")
        with pytest.raises(ValueError, match=r"^row 2 .*an empty sequence.* or give --empty none, which"):
            main([*START, *options])
    capfd.readouterr()
    typed("Ann\n\n", "Bob\n")
    main([*START, "--text", "-", "--empty", "none"])
    first, second, third = lines(capfd.readouterr())
    assert second is None
    assert len(first["tags"]) == len(third["tags"]) == 1


def test_a_line_that_is_not_utf_8(typed):
    typed(b"Ann\n", b"Bob\nZ\xfcrich\n")
    with pytest.raises(ValueError, match=r"^row 2: not UTF-8: byte 0xfc at position 1; convert the text to UTF-8"):
        main([*START, "--text", "-"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", "Ann"], "required: --ckpt_path; python -m seqkit predict --text --help lists all options"),
        (["--ckpt_path", "gone.ckpt", "--text", "Ann"], "--ckpt_path=gone.ckpt does not exist"),
        (
            [*START[1:], "--text", "Ann", "--config=x"],
            "predict --text has no option --config; ",
        ),
        (
            [*START[1:], "--text", "Ann", "--text", "-"],
            "--text - reads the standard input; give it without another",
        ),
        ([*START[1:], "--text"], "--text: expected one argument"),
        ([*START[1:], "--text", "Ann", "--max_tokens=0"], "max_tokens=0: must be an integer of at least 1"),
    ],
)
def test_a_wrong_option(options, message):
    with pytest.raises(ValueError, match=message):
        main(["predict", *options])


def test_a_reader_that_closes_the_output_ends_the_command(typed, monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as file:

        class Closed:
            fileno = file.fileno

            def writelines(self, _):
                raise BrokenPipeError

        typed("Ann\n")
        monkeypatch.setattr("sys.stdout", Closed())
        with pytest.raises(SystemExit) as ended:
            main([*START, "--text", "-"])
        assert ended.value.code == 141
        file.write("lost")
    assert os.path.getsize(tmp_path / "out") == 0


def test_a_misspelt_option_for_texts(capsys):
    with pytest.raises(SystemExit):
        main([*START, "--txt=Ann"])
    assert "there is no option --txt; did you mean --text?" in capsys.readouterr().err


def test_the_help_names_texts(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "--text TEXT" in printed
    assert "--scores" in printed
    for options in (["--text", "-", "--help"], ["--text", "--help"]):
        with pytest.raises(SystemExit):
            main(["predict", *options])
        assert "usage: python -m seqkit predict --text [-h] --ckpt_path FILE" in capsys.readouterr().out


@pytest.mark.parametrize("scores", [False, True])
def test_a_split_of_the_data_gives_the_same_lines(model, scores, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(SAVED_FILES)
    rows = [json.loads(line)["words"] for line in Path("rows.jsonl").read_text().splitlines()]
    out = tmp_path / "new" / "out.jsonl"
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    main([*START, "--predictions.path", str(out), *quiet, *(["--scores"] if scores else [])])
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line.pop("row") for line in written] == list(range(len(rows)))
    expected = model.predict(rows, scores=scores)
    for line in expected:
        if scores:
            line["tags_scores"] = pytest.approx(line["tags_scores"], abs=1e-6)
    assert written == expected


def test_a_folder_of_save_pretrained(model, tmp_path, capfd):
    model.save_pretrained(tmp_path / "shared")
    main(["predict", "--ckpt_path", str(tmp_path / "shared"), "--text", TEXTS[0]])
    assert lines(capfd.readouterr()) == model.predict([TEXTS[0].split()])


def test_a_split_with_a_folder_of_save_pretrained(model, tmp_path, monkeypatch, capfd):
    """The folder has the spec and the weights; the data are named."""
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("shared")
    source = ["--data.source=seqkit.data.Files", f"--data.source.test={SAVED_FILES / 'rows.jsonl'}"]
    start = ["predict", "--ckpt_path=shared", "--predictions.path=out.jsonl"]
    main([*start, *source, "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"])
    written = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    rows = [json.loads(line)["words"] for line in (SAVED_FILES / "rows.jsonl").read_text().splitlines()]
    assert [{name: line[name] for name in line if name != "row"} for line in written] == model.predict(rows)
    (Path("shared") / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"a model of seqkit needs model\.safetensors"):
        main([*start, *source, "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"])
    with pytest.raises(ValueError, match="--ckpt_path=shared is a folder; name a file in it"):
        main(["fit", "--ckpt_path=shared"])


def test_a_device_that_the_machine_lacks():
    with pytest.raises(ValueError, match="this machine has no device 'nowhere'"):
        main([*START, "--text", "Ann", "--device", "nowhere"])
