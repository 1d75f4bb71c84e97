"""The pages of the API: blocks of public names become autodoc directives, and names in code become links.

A block names a package and the names to document::

    ```{api} seqkit.nn
    LSTM
    GRU
    ```

It becomes a table of the names and an entry for each. A class shows its own members and those of bases that no page
documents. What a docstring or a page writes as code is a link if it is a documented name, in full or, if there is
only one of that name, alone.
"""

import inspect
import pkgutil
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import inspect as sphinx_inspect

BLOCK = re.compile(r"^```\{api\} (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Names:
    """The documented names.

    Args:
        pages: The folder of the pages.
    """

    def __init__(self, pages: Path) -> None:
        self.objects: dict[str, Any] = {}
        for page in sorted(pages.rglob("*.md")):
            for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
                package = import_module(block[1])
                self.objects |= {f"{block[1]}.{name}": getattr(package, name) for name in block[2].split()}
        self._by_id = {id(found): name for name, found in self.objects.items() if hasattr(found, "__module__")}
        last = [name.rpartition(".")[2] for name in self.objects]
        self._alone = {name.rpartition(".")[2]: name for name in self.objects if last.count(_last(name)) == 1}

    def documents(self, found: object) -> bool:
        """Return whether an object has an entry."""
        return id(found) in self._by_id

    def find(self, target: str) -> str | None:
        """Return the documented name that a text means: an object's, or a member's of a documented class."""
        first, _, rest = target.partition(".")
        if target in self.objects:
            return target
        if not target.startswith("seqkit."):
            whole = self._alone.get(first) if first[:1].isupper() else None
            return f"{whole}.{rest}" if whole and rest else whole
        for name, member in ((target, ""), target.rpartition(".")[::2]):
            try:
                found = self._by_id.get(id(pkgutil.resolve_name(name)))
            except (AttributeError, ImportError, ValueError):
                continue
            if found is not None:
                return f"{found}.{member}" if member else found
        return None


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def directives(package: str, block: Sequence[str], names: Names) -> str:
    """Return the autodoc directives for the names of a block."""
    lines = ["```{eval-rst}", f".. currentmodule:: {package}", "", ".. autosummary::", "   :nosignatures:", ""]
    lines += [f"   {name}" for name in block]
    for name in block:
        found = getattr(import_module(package), name)
        if inspect.isclass(found):
            lines += ["", f".. autoclass:: {name}", f"   :inherited-members: {','.join(_others(found, names))}"]
            if any(_shown_bases(found.__bases__, names)):
                lines.append("   :show-inheritance:")
        else:
            lines += ["", f".. {'autofunction' if inspect.isroutine(found) else 'autodata'}:: {name}"]
    return "\n".join([*lines, "```"])


def _others(cls: type, names: Names) -> list[str]:
    """Return the bases whose members are not shown with the class: other packages', and those with an entry."""
    bases = cls.__mro__[1:]
    shown = {base for entry in bases if names.documents(entry) for base in entry.__mro__}
    return [base.__name__ for base in bases if base in shown or not base.__module__.startswith("seqkit.")]


def _shown_bases(bases: Sequence[Any], names: Names) -> Iterator[Any]:
    """Yield the bases to show; in place of one without an entry, its own bases."""
    for base in bases:
        if getattr(base, "__module__", "").startswith("seqkit.") and not names.documents(base):
            yield from _shown_bases(getattr(base, "__bases__", ()), names)
        elif base is not object:
            yield base


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the build."""
    names = Names(Path(app.srcdir))

    def expand(_app: Sphinx, _page: str, source: list[str]) -> None:
        source[0] = BLOCK.sub(lambda block: directives(block[1], block[2].split(), names), source[0])

    def show_bases(_app: Sphinx, _name: str, _cls: type, _options: object, bases: list[Any]) -> None:
        bases[:] = dict.fromkeys(_shown_bases(bases, names))

    def sign(
        _app: Sphinx, what: str, _name: str, cls: Any, _options: object, signature: str | None, _returned: object
    ) -> tuple[str, None] | None:
        if what != "class" or signature != "(*_, **__)":  # that of `__new__`, which passes on all arguments
            return None
        own = sphinx_inspect.signature(cls.__init__, bound_method=True)
        return sphinx_inspect.stringify_signature(own, show_annotation=False, show_return_annotation=False), None

    def describe(_app: Sphinx, what: str, _name: str, _found: object, _options: object, lines: list[str]) -> None:
        if what == "data":  # the docstring of a constant or of an alias is that of its class
            lines.clear()

    def skip(_app: Sphinx, _what: str, _name: str, found: object, _skip: bool, _options: object) -> bool | None:
        doc = getattr(found, "__doc__", None) or ""
        return True if doc.startswith("Alias for field number") else None  # a named tuple's, by Python

    def link(_app: Sphinx, tree: nodes.document) -> None:
        page = _app.env.docname
        if page.startswith("reference/api/"):
            return
        for code in list(tree.findall(nodes.literal)):
            inside = (nodes.reference, nodes.title, addnodes.pending_xref, addnodes.download_reference)
            if names.find(code.astext()) and not isinstance(code.parent, inside):
                reference = addnodes.pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=code.astext(), refdoc=page, refwarn=False
                )
                code.replace_self(reference)
                reference += code

    def resolve(
        app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
    ) -> nodes.Element | None:
        target = names.find(node["reftarget"]) if node.get("refdomain") == "py" else None
        if target is None:
            return None
        return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)

    app.connect("source-read", expand)
    app.connect("autodoc-process-bases", show_bases)
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-process-docstring", describe)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", link)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
