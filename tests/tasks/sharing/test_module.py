import json
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelHubMixin
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file

import seqkit
from seqkit import Classifier, LanguageModel, SequenceDataModule, Tagger
from seqkit.losses import CrossEntropy
from seqkit.nn import LSTM, Embedding
from seqkit.tasks import SequenceModule
from tests.hostile import MODEL_PLACES, PATHS, assert_nothing_ran, den, forget_modules
from tests.tasks.language_model.cases import KINDS as LANGUAGE_KINDS
from tests.tasks.language_model.cases import build as build_language_model
from tests.tasks.language_model.cases import texts
from tests.tasks.sharing.cases import outputs, stub_hub
from tests.tasks.test_every_task import KINDS, build, rows

__all__ = ["den", "rows"]


@pytest.fixture
def tagger(rows):
    return build("tagger", rows)[0]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stub of the Hub, with an empty cache and no token."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    with stub_hub() as made:
        yield made


def with_arguments(value):
    """Write a class without arguments as a partial without arguments, which builds the same."""
    if isinstance(value, list):
        return [with_arguments(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = ({"init_args": {}} if "class_path" in value else {}) | value
    return {key: with_arguments(item) for key, item in value.items()}


def assert_same(model, loaded, data):
    """Check weights, arguments, outputs and predictions, bit by bit."""
    assert type(loaded) is type(model)
    assert with_arguments(dict(loaded.hparams)) == with_arguments(dict(model.hparams))
    assert not loaded.training
    expected, found = model.state_dict(), loaded.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert value.dtype == found[name].dtype
        assert torch.equal(value, found[name]), name
    batch = data.rows("test")[[0, 1, 2, 3]]
    model.eval()
    with torch.no_grad():
        pairs = zip(outputs(model(batch.inputs)), outputs(loaded(batch.inputs)), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        assert model.predict_step(batch, 0) == loaded.predict_step(batch, 0)


# Folders


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_comes_back_bit_by_bit(kind, rows, tmp_path):
    model, data = build(kind, rows)
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path / "shared")
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert len({path.stat().st_mode for path in (tmp_path / "shared").iterdir()}) == 1
    assert_same(model, type(model).from_pretrained(tmp_path / "shared"), data)
    assert_same(model, SequenceModule.from_pretrained(str(tmp_path / "shared")), data)


@pytest.mark.parametrize("kind", LANGUAGE_KINDS)
def test_language_models_come_back_bit_by_bit(kind, tmp_path):
    import datasets

    made = datasets.Dataset.from_dict({"text": texts(20)})
    model, data = build_language_model({"train": made, "test": made}, **LANGUAGE_KINDS[kind])
    model.save_pretrained(tmp_path)
    loaded = LanguageModel.from_pretrained(tmp_path)
    assert_same(model, loaded, data)
    if kind == "tied":
        assert loaded.softmax.linear.weight is loaded.embeddings[0].weight
        names = load_file(tmp_path / "model.safetensors").keys()
        assert "softmax.linear.weight" not in names or "embeddings.0.weight" not in names


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_of_another_precision_are_not_rounded(dtype, tagger, tmp_path):
    tagger = tagger.to(dtype)
    tagger.save_pretrained(tmp_path)
    loaded = Tagger.from_pretrained(tmp_path)
    assert loaded.dtype == dtype
    for name, value in tagger.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_the_order_of_the_inputs_is_kept(rows, tmp_path):
    from seqkit.data import Words, WordShapes

    inputs = {"words": Words(), "again": WordShapes(column="words")}
    data = SequenceDataModule(rows, inputs=inputs, targets="tags", max_tokens=64)
    parts = {"embedding": partial(Embedding, embedding_dim=3), "encoder": partial(LSTM, hidden_size=2)}
    model = Tagger(data.spec, **parts)
    model.save_pretrained(tmp_path)
    loaded = Tagger.from_pretrained(tmp_path)
    assert list(loaded.spec["inputs"]) == ["words", "again"]
    assert_same(model, loaded, data)


def test_load_takes_a_folder_of_any_task(rows, tmp_path):
    model, data = build("multitask", rows)
    model.save_pretrained(tmp_path)
    assert_same(model, seqkit.load(str(tmp_path)), data)
    assert_same(model, seqkit.load(tmp_path, map_location="cpu"), data)


def test_the_config_is_what_a_checkpoint_keeps(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["seqkit_version"] == seqkit.__version__
    assert config["class_path"] == "seqkit.Tagger"
    kept = {key: value for key, value in tagger.hparams.items() if not key.startswith("_")}
    assert config["init_args"] | {"spec": config["spec"]} == kept


def test_arguments_replace_those_of_the_config(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    assert Tagger.from_pretrained(tmp_path, dropout=0.5).dropout.p == 0.5


def test_a_loaded_model_trains_on_and_is_saved_again(rows, trainer, tmp_path):
    model, data = build("crf", rows)
    model.save_pretrained(tmp_path / "one")
    loaded = Tagger.from_pretrained(tmp_path / "one").train()
    run = trainer(max_epochs=1)
    run.fit(loaded, data)
    run.save_checkpoint(tmp_path / "run.ckpt")
    loaded.save_pretrained(tmp_path / "two")
    assert_same(loaded, Tagger.from_pretrained(tmp_path / "two"), data)
    assert_same(loaded, Tagger.load_from_checkpoint(tmp_path / "run.ckpt").eval(), data)


def test_arguments_that_model_hub_mixin_cannot_write(rows, tmp_path):
    """It would call ``dataclasses.asdict`` with the class."""

    @dataclass
    class OwnLoss(CrossEntropy):
        smoothing: float = 0.5

        def __post_init__(self):
            super().__init__()

    class OwnTagger(Tagger):
        def __init__(self, spec, *, kind=OwnLoss, **options):
            super().__init__(spec, **options)

    _, data = build("tagger", rows)
    parts = {"embedding": partial(Embedding, embedding_dim=3), "encoder": partial(LSTM, hidden_size=2)}
    model = OwnTagger(data.spec, kind=OwnLoss, **parts)
    assert isinstance(model, ModelHubMixin)


# Writing


def test_files_of_others_stay_and_the_card_is_kept(rows, tmp_path):
    for name in ("notes.txt", "README.md", "config.json"):
        (tmp_path / name).write_text("mine")
    model, data = build("tagger", rows)
    with pytest.warns(UserWarning, match=r"README\.md exists and is kept; remove it for a card of this model"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == (tmp_path / "README.md").read_text() == "mine"
    assert_same(model, Tagger.from_pretrained(tmp_path), data)
    assert len(list(tmp_path.iterdir())) == 4


def test_an_error_leaves_nothing_half_written(tagger, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqkit.tasks.sharing.files.save", full)
    with pytest.raises(OSError, match=r"cannot write .*shared: No space left on device; free some space"):
        tagger.save_pretrained(tmp_path / "shared")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        tagger.save_pretrained(tmp_path / "old")
    assert [path.read_text() for path in (tmp_path / "old").iterdir()] == ["before"]


def test_a_file_in_the_place_of_the_folder(tagger, tmp_path):
    (tmp_path / "shared").write_text("mine")
    with pytest.raises(OSError, match=r"cannot write .*shared"):
        tagger.save_pretrained(tmp_path / "shared")
    assert (tmp_path / "shared").read_text() == "mine"


# Reading


@pytest.fixture
def shared(tagger, tmp_path):
    tagger.save_pretrained(tmp_path / "shared")
    return tmp_path / "shared"


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(name, shared):
    (shared / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"a model of seqkit needs {name}.*shared"):
        Tagger.from_pretrained(shared)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_config(content, shared):
    (shared / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json is damaged: .*; save or download it again"):
        Tagger.from_pretrained(shared)


@pytest.mark.parametrize(
    "content", [[], None, {}, {"model_type": "bert"}, {"class_path": 1}, {"class_path": "a", "init_args": []}]
)
def test_a_config_of_something_else(content, shared):
    (shared / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"is no config of a model of seqkit: (class_path|init_args) is"):
        Tagger.from_pretrained(shared)


def test_damaged_weights(shared):
    path = shared / "model.safetensors"
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", whole[:100], whole[:-1], bytes(300)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.safetensors is damaged: .*; save or download it again"):
            Tagger.from_pretrained(shared)


def test_weights_that_do_not_fit(shared):
    path = shared / "model.safetensors"
    whole = load_file(path)
    name = next(iter(whole))
    others = {key: value for key, value in whole.items() if key != name}
    changes = {"Missing key": others, "Unexpected key": whole | {"x": torch.zeros(1)}}
    changes["size mismatch"] = others | {name: torch.zeros(1, 1)}
    for message, state in changes.items():
        save_file(state, path)
        with pytest.raises(ValueError, match=rf"safetensors does not fit its config\.json: (?s:.*){message}"):
            Tagger.from_pretrained(shared)


def test_a_model_of_another_task(shared):
    with pytest.raises(ValueError, match=r"the folder is one of seqkit\.Tagger, but the model is seqkit\.Clas"):
        Classifier.from_pretrained(shared)


def test_a_pickle_in_the_place_of_the_weights_is_not_read(shared):
    (shared / "model.safetensors").rename(shared / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"needs model\.safetensors"):
        Tagger.from_pretrained(shared)


def test_another_version_is_named_where_it_explains_an_error(shared):
    edit(shared, seqkit_version="9.0")
    Tagger.from_pretrained(shared)
    config = json.loads((shared / "config.json").read_text())
    edit(shared, init_args=config["init_args"] | {"novelty": 1})
    with pytest.raises(ValueError, match=r"cannot build .*'novelty'\. The model was saved by seqkit 9\.0"):
        Tagger.from_pretrained(shared)


def test_a_file_and_a_name_that_is_neither_folder_nor_id(shared):
    with pytest.raises(ValueError, match=r"config\.json is a file; name a folder of save_pretrained"):
        Tagger.from_pretrained(shared / "config.json")
    with pytest.raises(ValueError, match=r"there is no folder '\./gone/model', and it is no id of the Hub"):
        Tagger.from_pretrained("./gone/model")


# Classes

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


# The Hub


def test_push_and_pull(tagger, rows, hub, tmp_path):
    url = tagger.push_to_hub("me/my-tagger", private=True, license="mit", metrics={"test_accuracy": 0.5})
    (commit,) = {commit for repo, commit in hub.commits if repo == "me/my-tagger"}
    assert url == f"https://huggingface.co/me/my-tagger/commit/{commit}"
    (created,) = hub.created
    assert (created["organization"], created["name"]) == ("me", "my-tagger")
    assert "private" in json.dumps(created)
    files = hub.commits["me/my-tagger", commit]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert b"from_pretrained('me/my-tagger')" in files["README.md"]
    assert b"license: mit" in files["README.md"]
    assert_same(
        tagger, Tagger.from_pretrained("me/my-tagger", cache_dir=tmp_path / "own"), build("tagger", rows)[1]
    )
    assert (tmp_path / "own").is_dir()
    assert not (tmp_path / "cache").exists()


def test_a_revision_is_passed_on(rows, hub):
    first, data = build("tagger", rows)
    second, _ = build("crf", rows)
    one = first.push_to_hub("me/model").rpartition("/")[2]
    second.push_to_hub("me/model", commit_message="Add a CRF")
    second.push_to_hub("me/model", branch="crf", create_pr=False)
    assert [summary for summary, _ in hub.messages] == [
        "Add a model of seqkit",
        "Add a CRF",
        "Add a model of seqkit",
    ]
    assert_same(second, Tagger.from_pretrained("me/model"), data)
    assert_same(second, Tagger.from_pretrained("me/model", revision="crf"), data)
    assert_same(first, Tagger.from_pretrained("me/model", revision=one), data)


def test_both_files_are_of_one_commit(rows, hub, monkeypatch):
    """Another push between the two downloads changes neither."""
    first, data = build("tagger", rows)
    second, _ = build("crf", rows)
    first.push_to_hub("me/model")
    answer = hub._get

    def push_then_answer(request, **where):
        found = answer(request, **where)
        if where["path"] == "config.json":
            second.push_to_hub("me/model")
        return found

    monkeypatch.setattr(hub, "_get", push_then_answer)
    assert_same(first, Tagger.from_pretrained("me/model"), data)


def test_offline(tagger, rows, hub):
    with pytest.raises(LocalEntryNotFoundError):
        Tagger.from_pretrained("me/model", local_files_only=True)
    tagger.push_to_hub("me/model")
    Tagger.from_pretrained("me/model")
    hub.calls.clear()
    assert_same(tagger, Tagger.from_pretrained("me/model", local_files_only=True), build("tagger", rows)[1])
    assert hub.calls == []


def test_the_weights_of_a_hostile_model_are_not_downloaded(tagger, hub):
    tagger.push_to_hub("me/model")
    files = hub.commits["me/model", hub.branches["me/model", "main"]]
    config = json.loads(files["config.json"])
    for change in ({"class_path": "os.system"}, {"init_args": {"encoder": {"class_path": "os.system"}}}):
        files["config.json"] = json.dumps(config | change).encode()
        hub.calls.clear()
        with pytest.raises(ValueError, match=r"names 'os\.system'\. Only classes of seqkit"):
            SequenceModule.from_pretrained("me/model", force_download=True)
        assert hub.calls == ["head", "get"]


def test_what_the_hub_lacks(tagger, hub):
    with pytest.raises(RepositoryNotFoundError):
        Tagger.from_pretrained("me/gone")
    tagger.push_to_hub("me/model", ignore_patterns="config.json")
    with pytest.raises(FileNotFoundError, match=r"the Hub has it without config\.json.*me/model"):
        Tagger.from_pretrained("me/model")
    with pytest.raises(HfHubHTTPError, match=r"(?i)revision"):
        Tagger.from_pretrained("me/model", revision="gone")


def test_a_model_that_cannot_be_saved_creates_no_repository(tagger, hub, monkeypatch):
    with pytest.raises(ValueError, match="me/my/tagger"):
        tagger.push_to_hub("me/my/tagger")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqkit.tasks.sharing.files.save", full)
    with pytest.raises(OSError, match="No space left"):
        tagger.push_to_hub("me/tagger")
    assert hub.calls == []


def test_a_hub_that_does_not_answer_or_refuses_the_card(tagger, hub, monkeypatch):
    def unreachable(request):
        raise hub.http.ConnectError("no route to host", request=request)

    def refuse(request):
        return hub.http.Response(400, json={"errors": [{"message": "license is unknown"}], "warnings": []})

    monkeypatch.setattr(hub, "_validate", refuse)
    with pytest.raises(ValueError, match=r"the Hub cannot take the model as me/tagger: (?s:.*)license is unknown"):
        tagger.push_to_hub("me/tagger", license="mine")
    assert "commit" not in hub.calls
    monkeypatch.setattr(hub, "_create", unreachable)
    with pytest.raises(OSError, match=r"cannot reach the Hub to push me/tagger: no route to host"):
        tagger.push_to_hub("me/tagger")
