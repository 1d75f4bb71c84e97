import json

import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from seqkit import Tagger
from seqkit.tasks import SequenceModule
from tests.tasks.sharing.cases import assert_same
from tests.tasks.test_every_task import build


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
