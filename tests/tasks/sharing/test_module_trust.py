import json
from functools import partial
from pathlib import Path

import pytest
import torch

from seqkit import Tagger
from seqkit.nn import Embedding
from seqkit.tasks import SequenceModule
from tests.hostile import MODEL_PLACES, PATHS, assert_nothing_ran, den, forget_modules
from tests.tasks.sharing.cases import edit

__all__ = ["den"]

REACHED = {name: edit for name, edit in (PATHS | MODEL_PLACES).items() if not name.startswith("instantiator")}


@pytest.mark.parametrize("variant", REACHED)
def test_a_hostile_config_is_refused(variant, den):
    Tagger.load_from_checkpoint("tagger.ckpt").save_pretrained("shared")
    forget_modules()
    checkpoint = torch.load("tagger.ckpt", weights_only=True)
    REACHED[variant](checkpoint)
    saved = checkpoint["hyper_parameters"]
    if isinstance(saved, dict):
        arguments = {key: value for key, value in saved.items() if not key.startswith("_") and key != "spec"}
        edit(Path("shared"), class_path=saved["_class_path"], init_args=arguments, spec=saved["spec"])
    else:
        Path("shared", "config.json").write_text(json.dumps(saved))
    with pytest.raises((ValueError, TypeError), match=r"config|model|spec"):
        SequenceModule.from_pretrained("shared")
    assert_nothing_ran(den)


def test_a_second_spec_among_the_arguments_is_not_used(den):
    Tagger.load_from_checkpoint("tagger.ckpt").save_pretrained("shared")
    config = json.loads(Path("shared", "config.json").read_text())
    edit(Path("shared"), init_args=config["init_args"] | {"spec": {"inputs": {}, "targets": {}}})
    assert Tagger.from_pretrained("shared").spec == config["spec"]


@pytest.fixture
def own(den):
    """A folder with a model of a project of one's own, which this process has forgotten."""
    (den / "my_project.py").write_text(
        "import seqkit, seqkit.nn\nclass OwnLSTM(seqkit.nn.LSTM): pass\nclass OwnTagger(seqkit.Tagger): pass\n"
    )
    import my_project

    spec = Tagger.load_from_checkpoint("tagger.ckpt").spec
    encoder = partial(my_project.OwnLSTM, hidden_size=2)
    parts = {"embedding": partial(Embedding, embedding_dim=2), "encoder": encoder}
    spec = {"inputs": {"words": spec["inputs"]["words"]}, "targets": spec["targets"]}
    my_project.OwnTagger(spec, **parts).save_pretrained("own")
    forget_modules()
    return "own"


def test_classes_of_another_project_need_consent(own):
    with pytest.raises(ValueError, match=r"names 'my_project\.OwnTagger'.*trust=\['my_project'\]"):
        Tagger.from_pretrained(own)
    model = Tagger.from_pretrained(own, trust="my_project")
    assert type(model).__module__ == type(model.encoder).__module__ == "my_project"
    assert "from my_project import OwnTagger" in Path(own, "README.md").read_text()
    assert "trust=['my_project']" in Path(own, "README.md").read_text()
