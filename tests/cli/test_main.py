import csv
import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import torch
import yaml

from seqkit.cli.main import main

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

# Calls of Lightning that the pinned jsonargparse deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


def fit(*options):
    return main(["fit", "--config", "config.yaml", *QUICK, *options])


def test_fit_leaves_a_checkpoint_and_two_logs(folder):
    cli = fit()
    run = folder / "runs" / "version_0"
    assert {file.name for file in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert any(file.name.startswith("events.out.tfevents") for file in run.iterdir())
    with (run / "metrics.csv").open() as file:
        assert "val_accuracy" in csv.DictReader(file).fieldnames
    assert cli.trainer.callback_metrics["val_accuracy"] > 0.5
    torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)


@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")
def test_fit_on_a_stream(folder):
    cli = fit("--data.streaming=true", "--data.pool=50")
    assert isinstance(cli.datamodule.splits["train"], datasets.IterableDataset)
    assert cli.trainer.callback_metrics["val_accuracy"] > 0.5
    checkpoint = cli.trainer.checkpoint_callback.last_model_path
    tested = main(["test", f"--ckpt_path={checkpoint}", *QUICK])
    assert tested.trainer.callback_metrics["test_accuracy"] > 0.5


def test_a_checkpoint_suffices_for_test_and_predict_in_a_fresh_process(folder):
    cli = fit()
    checkpoint = cli.trainer.checkpoint_callback.last_model_path
    (expected,) = cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    # No training rows, no labels: what the data decided is in the checkpoint.
    rows = datasets.load_from_disk("rows")
    datasets.DatasetDict(test=rows["test"]).save_to_disk("other")
    datasets.DatasetDict(test=rows["test"].remove_columns("tags")).save_to_disk("bare")
    run = [sys.executable, "-m", "seqkit"]
    source = "--data.source.init_args.path"
    tested = subprocess.run(
        [*run, "test", "--ckpt_path", checkpoint, *QUICK, source, "other"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(expected["test_loss"])[:6] in tested.stdout
    subprocess.run(
        [*run, "predict", f"--ckpt_path={checkpoint}", *QUICK, source, "bare", "--predictions.path", "out.jsonl"],
        check=True,
    )
    assert "seed_everything" not in Path("config.yaml").read_text()  # the user's own, not what was run
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [len(line["tags"]) for line in lines] == [len(words) for words in rows["test"]["words"]]
    right = sum(
        a == b
        for line, tags in zip(lines, rows["test"]["tags"], strict=True)
        for a, b in zip(line["tags"], tags, strict=True)
    )
    assert right / sum(map(len, rows["test"]["tags"])) == pytest.approx(expected["test_accuracy"])


def test_a_checkpoint_of_a_script_suffices_with_a_source(folder, splits, trainer):
    from functools import partial

    from seqkit import SequenceDataModule, Tagger
    from seqkit.nn import LSTM, Embedding

    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    model = Tagger(data.spec, partial(LSTM, hidden_size=4), partial(Embedding, embedding_dim=4))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint("script.ckpt")
    (expected,) = run.test(model, data, verbose=False)
    options = ["--data.source.class_path=seqkit.data.SavedDataset", "--data.source.init_args.path=rows"]
    cli = main(["test", "--ckpt_path=script.ckpt", *QUICK, "--data.max_tokens=64", *options])
    assert cli.trainer.callback_metrics["test_accuracy"] == pytest.approx(expected["test_accuracy"])


@pytest.mark.filterwarnings("ignore:The dirpath has changed")  # a resumed run logs into a folder of its own
def test_resumes_with_the_config_and_the_checkpoint(folder):
    first = fit()
    resumed = fit(f"--ckpt_path={first.trainer.checkpoint_callback.last_model_path}", "--trainer.max_epochs=5")
    assert resumed.trainer.current_epoch == 5
    assert resumed.trainer.global_step == first.trainer.global_step * 5 / 3


def test_inspect_prints_and_draws(folder, capsys):
    main(["inspect", "--config", "config.yaml", "--picture", "new/lengths.png"])
    printed = capsys.readouterr().out
    for word in ("train", "validation", "test", "waste", "random", "correlation"):
        assert word in printed
    assert (folder / "new" / "lengths.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in (folder / "new").iterdir()] == ["lengths.png"]


class TestBadInput:
    def test_an_unknown_key(self, folder, capsys):
        with pytest.raises(SystemExit):
            fit("--data.max_tokenz=3")
        assert "max_tokenz" in capsys.readouterr().err

    def test_an_unknown_key_in_a_config(self, folder, capsys):
        config = yaml.safe_load(Path("config.yaml").read_text())
        config["data"]["max_token"] = 3
        Path("config.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(SystemExit):
            fit()
        assert "max_token" in capsys.readouterr().err

    def test_an_error_of_a_part_stands_for_itself(self, folder):
        with pytest.raises(ValueError, match=r"^Tagger is causal, but encoder LSTM is bidirectional"):
            fit("--model.init_args.causal=true")

    def test_a_missing_column_lists_those_there_are(self, folder):
        with pytest.raises(ValueError, match=r"(?s)wrds.*words.*tags"):
            fit("--data.inputs=wrds")

    def test_a_checkpoint_of_another_task(self, folder):
        checkpoint = fit().trainer.checkpoint_callback.last_model_path
        with pytest.raises(ValueError, match=r"checkpoint is one of .*Tagger, but the model is .*Classifier"):
            fit(f"--ckpt_path={checkpoint}", "--model=seqkit.Classifier", "--data.targets=label")


def conllu(path, sentences):
    lines = []
    for sentence in sentences:
        for i, (word, tag) in enumerate(sentence, 1):
            lines.append("\t".join([str(i), word, "_", tag, f"{tag}.", *["_"] * 5]))
        lines.append("")
    path.write_text("\n".join(lines) + "\n")


def series(path, count):
    rows = [",".join(str(i * j % 7) for j in range(5 + i % 3)) for i in range(count)]
    data = "\n".join(":".join([row] * 12) + f":{1 + i % 9}" for i, row in enumerate(rows))
    header = (
        "@problemName P\n@timeStamps false\n@missing false\n@univariate false\n@dimensions 12\n@equalLength false\n"
    )
    path.write_text(f"{header}@classLabel true 1 2 3 4 5 6 7 8 9\n@data\n{data}\n")


def engines(path, count):
    rows = [
        " ".join([str(unit), str(cycle), *[str(round((unit * cycle + k) % 5 / 3, 3)) for k in range(24)]])
        for unit in range(1, count + 1)
        for cycle in range(1, 10 + unit)
    ]
    path.write_text("\n".join(rows) + "\n")


def source_for(name, folder):
    """Options that give a shipped config a small data set of the same features, made on the spot."""
    words = [[("the", "DET"), ("cat", "NOUN"), ("sat", "VERB")], [("cats", "NOUN"), ("sit", "VERB")]] * 20
    at = "--data.source.init_args"
    match name:
        case "highlight":
            (folder / "code").mkdir()
            for i in range(40):
                (folder / "code" / f"m{i}.py").write_text(
                    f"def f{i}(x):\n    return x + {i}  # add\n\n\ny = '{i}'\n"
                )
            return [f"{at}.paths=[{folder / 'code'}]", f"{at}.validation=0.3"]
        case "ewt_upos" | "ewt_multitask":
            for split in ("train", "validation", "test"):
                conllu(folder / f"{split}.conllu", words)
            return [f"{at}.{split}={folder / split}.conllu" for split in ("train", "validation", "test")]
        case "japanese_vowels":
            for split in ("train", "test"):
                series(folder / f"{split}.ts", 45)
            return [f"{at}.{split}={folder / split}.ts" for split in ("train", "test")]
        case "cmapss_rul" | "cmapss_forecast":
            for split in ("train", "test"):
                engines(folder / f"{split}.txt", 8)
            (folder / "rul.txt").write_text("\n".join(str(10 * i) for i in range(1, 9)) + "\n")
            return [f"{at}.{split}={folder / split}.txt" for split in ("train", "test", "rul")]
    if name == "cmudict_g2p":
        words = {f"{'abc'[i % 3] * (1 + i % 4)}{i}": "AH0 B S" for i in range(80)}
        (folder / "words.dict").write_text("".join(f"{word} {phones}\n" for word, phones in words.items()))
        return [f"{at}.path={folder / 'words.dict'}"]
    if name == "shakespeare_char":
        (folder / "text.txt").write_text("".join(f"Speaker {i % 7}:\nWords, {i} of them.\n\n" for i in range(400)))
        return [f"{at}.train={folder / 'text.txt'}"]
    if name == "wnut17_ner":
        (folder / "tags.conll").write_text(
            "Ann\tB-person\nsat\tO\n\nin\tO\nNew\tB-location\nYork\tI-location\n\n" * 20
        )
        return [f"{at}.{split}={folder / 'tags.conll'}" for split in ("train", "validation")]
    if name == "conll2003_ner":
        rows = {"tokens": [["Ann", "sat"], ["in", "New", "York"]] * 20, "ner_tags": [[1, 0], [0, 5, 6]] * 20}
        tags = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
        features = {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=tags)),
        }
        names = ("train", "validation", "test")
    elif name == "snli":
        rows = {
            "premise": ["A man is asleep in the sun.", "A dog runs."] * 20,
            "hypothesis": ["Nobody sleeps.", "An animal moves, and fast."] * 20,
            "label": [2, 0, 1, -1] * 10,
        }
        labels = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
        features = {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"), "label": labels}
        names = ("train", "validation", "test")
    elif name == "go_emotions":
        rows = {"text": ["So good, and so sad.", "What?"] * 20, "labels": [[0, 1], [2]] * 20}
        labels = datasets.List(datasets.ClassLabel(names=["joy", "grief", "surprise"]))
        features = {"text": datasets.Value("string"), "labels": labels}
        names = ("train", "validation", "test")
    else:
        rows = {"text": ["A good film.", "Bad, very bad."] * 20, "label": [1, 0] * 20}
        features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
        names = ("train", "test")
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    datasets.DatasetDict(dict.fromkeys(names, made)).save_to_disk(folder / "rows")
    return ["--data.source=seqkit.data.SavedDataset", f"{at}.path={folder / 'rows'}"]


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_shipped_config_fits(name, tmp_path, monkeypatch):
    options = source_for(name, tmp_path)
    monkeypatch.chdir(tmp_path)
    validates = "limit_val_batches: 0" not in (CONFIGS / f"{name}.yaml").read_text()
    limits = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    limits += ["--trainer.limit_val_batches=2"] * validates
    cli = main(["fit", "--config", str(CONFIGS / f"{name}.yaml"), *options, *limits, *QUICK])
    assert cli.trainer.global_step > 0
    assert (cli.model.monitor[0] in cli.trainer.callback_metrics) == validates
    assert list(Path("runs").rglob("best.ckpt"))
