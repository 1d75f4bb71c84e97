import re
from pathlib import Path

import datasets
import pytest
import torch
from huggingface_hub import ModelCard

import seqkit
from seqkit import SequenceDataModule
from tests.tasks.test_every_task import KINDS, build, rows

__all__ = ["rows"]

TAGS = {
    "tagger": "token-classification",
    "crf": "token-classification",
    "classifier": "text-classification",
    "pairs": "text-classification",
    "forecaster": "time-series-forecasting",
    "language model": "text-generation",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_of_every_task(kind, rows, tmp_path, monkeypatch, capsys):
    """Its code runs as it is there."""
    monkeypatch.chdir(tmp_path)
    model, _ = build(kind, rows)
    model.save_pretrained("shared")
    card = ModelCard.load("shared/README.md")
    assert card.data.library_name == "seqkit"
    assert card.data.tags == ["seqkit", "model_hub_mixin"]
    assert card.data.pipeline_tag == TAGS.get(kind)
    assert card.data.license is None
    assert card.text.startswith("\n# shared\n")
    assert f"A model of seqkit {seqkit.__version__}: a `seqkit.{type(model).__name__}`, which " in card.text
    assert f"| parameters | {sum(p.numel() for p in model.parameters()):,} |" in card.text
    assert "No test scores were given." in card.text
    assert ("`even`, `odd`" in card.text) == (kind in ("tagger", "crf", "classifier", "pairs", "multitask", "ctc"))
    for name in model.spec["inputs"] | model.spec["targets"]:
        assert f"`{name}` (" in card.text
    assert "None" not in card.text
    (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.startswith("[{")


def test_the_scores_of_the_last_test(rows, trainer, tmp_path):
    model, data = build("tagger", rows)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    model.save_pretrained(tmp_path / "untested")
    assert "No test scores" in (tmp_path / "untested" / "README.md").read_text()
    (scores,) = run.test(model, data, verbose=False)
    model.save_pretrained(tmp_path / "tested")
    card = (tmp_path / "tested" / "README.md").read_text()
    assert f"| accuracy | {scores['test_accuracy']:,.4f} |" in card
    assert "val_" not in card
    model.save_pretrained(tmp_path / "given", metrics={"test_accuracy": torch.tensor(0.25)})
    assert "| accuracy | 0.2500 |" in (tmp_path / "given" / "README.md").read_text()
    run.fit(model, data)
    model.save_pretrained(tmp_path / "again")
    assert "No test scores" in (tmp_path / "again" / "README.md").read_text()


def test_what_the_user_tells(rows, tmp_path):
    model, _ = build("tagger", rows)
    options = {"license": "cc-by-4.0", "language": ["en", "de"], "data": "Made | up", "metrics": {"test_f1": 0.5}}
    model.save_pretrained(tmp_path, repo_id="me/the-tagger", **options)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.language) == ("cc-by-4.0", ["en", "de"])
    assert card.data.model_name == "the-tagger"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("f1", 0.5, "Made | up")
    assert "| data | Made \\| up |" in card.text
    assert "On the test split of Made | up:" in card.text
    assert "Tagger.from_pretrained('me/the-tagger')" in card.text


def test_an_unknown_fact_is_refused(rows, tmp_path):
    model, _ = build("tagger", rows)
    with pytest.raises(TypeError, match="licence"):
        model.save_pretrained(tmp_path / "shared", licence="mit")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_markdown(tmp_path):
    names = ["a|b", "`c`", "d\ne", "<b>", " "]
    made = datasets.Dataset.from_dict({"wo|rds": [["x"] * 5] * 4, "tags": [names] * 4})
    data = SequenceDataModule(made, inputs="wo|rds", targets="tags", max_tokens=64, validation_fraction=0)
    task, _ = KINDS["tagger"]
    task(data.spec).save_pretrained(tmp_path)
    text = Path(tmp_path, "README.md").read_text()
    assert all(f"{shown}" in text for shown in ("`a|b`", "`` `c` ``", "`d e`", "`<b>`"))
    assert "| inputs | `wo\\|rds` (Words," in text


def test_many_labels_are_cut(tmp_path):
    names = [f"label{i:03}" for i in range(400)]
    made = datasets.Dataset.from_dict({"words": [["x"]] * 400, "label": names})
    data = SequenceDataModule(made, inputs="words", targets="label", max_tokens=64, validation_fraction=0)
    task, _ = KINDS["classifier"]
    task(data.spec).save_pretrained(tmp_path)
    text = Path(tmp_path, "README.md").read_text()
    assert "`label299` and 100 more" in text
    assert "label300" not in text
