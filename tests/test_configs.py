"""Every shipped config fits, on small data of the same features."""

from pathlib import Path

import datasets
import pytest

from seqkit.cli import main

CONFIGS = Path(__file__).parents[1] / "configs"
QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

# Calls of Lightning that the pinned jsonargparse deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


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
    """Create a small data set of the features that a config reads, and return the options that select it."""
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
