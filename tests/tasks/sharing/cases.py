"""A stub of the Hub behind the client of huggingface_hub, without network; and equality of models."""

import base64
import hashlib
import importlib
import json
import re
from contextlib import contextmanager

import huggingface_hub
import torch

_ROUTES = {
    "create": r"POST /api/repos/create",
    "validate": r"POST /api/validate-yaml",
    "preupload": r"POST /api/models/(?P<repo>.+)/preupload/(?P<revision>[^/]+)",
    "commit": r"POST /api/models/(?P<repo>.+)/commit/(?P<revision>[^/]+)",
    "head": r"HEAD /(?P<repo>.+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
    "get": r"GET /(?P<repo>.+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
}


class StubHub:
    """Repositories by id, each with its commits, the last of a branch by the branch's name."""

    def __init__(self):
        client = type(huggingface_hub.utils.get_session())
        self.http = importlib.import_module(client.__module__.partition(".")[0])
        self.commits = {}  # (repo, commit or branch) -> files
        self.branches = {}  # (repo, branch) -> commit
        self.calls = []
        self.created = []
        self.messages = []

    def client(self):
        return self.http.Client(transport=self.http.MockTransport(self._answer), follow_redirects=True)

    def _answer(self, request):
        line = f"{request.method} {request.url.path}"
        name, found = next(
            (name, match) for name, route in _ROUTES.items() if (match := re.fullmatch(route, line)) is not None
        )
        self.calls.append(name)
        return getattr(self, f"_{name}")(request, **found.groupdict())

    def _json(self, content, status=200):
        return self.http.Response(status, json=content)

    def _create(self, request):
        asked = json.loads(request.content)
        self.created.append(asked)
        return self._json({"url": f"https://huggingface.co/{asked['organization'] or 'me'}/{asked['name']}"})

    def _validate(self, request):
        assert json.loads(request.content)["content"].startswith("---\n")
        return self._json({"errors": [], "warnings": []})

    def _preupload(self, request, repo, revision):
        files = json.loads(request.content)["files"]
        modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
        return self._json({"files": modes})

    def _commit(self, request, repo, revision):
        header, *operations = map(json.loads, request.content.splitlines())
        self.messages.append((header["value"]["summary"], dict(request.url.params)))
        files = dict(self.commits.get((repo, self.branches.get((repo, revision))), {}))
        for each in operations:
            files[each["value"]["path"]] = base64.b64decode(each["value"]["content"])
        commit = hashlib.sha1(request.content).hexdigest()
        self.commits[repo, commit] = files
        self.branches[repo, revision] = commit
        url = f"https://huggingface.co/{repo}/commit/{commit}"
        return self._json({"commitUrl": url, "commitOid": commit, "pullRequestUrl": f"{url}/pr"})

    def _head(self, request, repo, revision, path):
        if not any(repo == known for known, _ in self.commits):
            return self.http.Response(404, headers={"X-Error-Code": "RepoNotFound"})
        commit = self.branches.get((repo, revision), revision)
        if (repo, commit) not in self.commits:
            return self.http.Response(404, headers={"X-Error-Code": "RevisionNotFound"})
        content = self.commits[repo, commit].get(path)
        if content is None:
            return self.http.Response(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        return self.http.Response(200, headers=headers | {"Content-Length": str(len(content))})

    def _get(self, request, repo, revision, path):
        commit = self.branches.get((repo, revision), revision)
        return self.http.Response(200, content=self.commits[repo, commit][path])


@contextmanager
def stub_hub():
    """Let huggingface_hub talk to a new stub in the block."""
    hub = StubHub()
    huggingface_hub.set_client_factory(hub.client)
    try:
        yield hub
    finally:
        huggingface_hub.set_client_factory(huggingface_hub.utils._http.default_client_factory)


def outputs(value):
    """The tensors in a model's output, in order."""
    if isinstance(value, dict):
        return [each for item in value.values() for each in outputs(item)]
    return [getattr(value, "data", value)]


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


def edit(folder, **changes):
    """Change keys of the config in a folder."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
