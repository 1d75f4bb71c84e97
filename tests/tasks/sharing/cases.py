"""A stub of the Hub behind the client of huggingface_hub: repositories in memory, and no network."""

import base64
import hashlib
import importlib
import json
import re
from contextlib import contextmanager

import huggingface_hub

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
