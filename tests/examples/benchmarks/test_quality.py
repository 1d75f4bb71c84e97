import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning")
def test_mean_over_seeds(load, splits, tmp_path, monkeypatch):
    quality = load("benchmarks/quality")
    monkeypatch.chdir(tmp_path)
    splits.save_to_disk("rows")
    config = str(ROOT / "configs" / "conll2003_ner.yaml")
    source = ["--data.source=seqkit.data.SavedDataset", "--data.source.init_args.path=rows"]
    options = [*source, "--data.inputs=words", "--data.targets=tags", "--trainer.max_epochs=1"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    result = quality.main([config, "--seeds", "3", "4", "--output", "out.json", "--test", *options, *quiet])
    assert [len(values) for values in result["scores"].values()] == [2] * len(result["scores"])
    assert {"test_accuracy", "test_loss", "fit_seconds"} <= set(result["scores"])
    assert json.loads(Path("out.json").read_text()) == result
