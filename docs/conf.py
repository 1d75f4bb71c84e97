"""The documentation site: ``python -m sphinx -W --keep-going -b html docs docs/_build``. It needs no network."""

import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import seqkit  # noqa: E402 - found by the path above

project = "seqkit"
author = "the seqkit authors"
copyright = "the seqkit authors; Apache-2.0"
release = version = seqkit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "seqkit_api",
    "seqkit_options",
]
exclude_patterns = ["_build"]
smartquotes_action = "D"  # dashes only

# Markdown
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # the anchors of GitHub

# The API, from the docstrings
default_role = "py:obj"  # single backticks: code, and a link to what is documented
autosummary_generate = False
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
viewcode_follow_imported_members = True
toc_object_entries_show_parents = "hide"

# The look
html_theme = "pydata_sphinx_theme"
html_title = "seqkit"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_sidebars = {"index": []}
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "seqkit"},
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}


def strip_code(app: Sphinx, doctree: nodes.document) -> None:  # noqa: ARG001 - Sphinx gives it
    """Remove empty lines at the end of code blocks: `literalinclude` keeps those before `end-before`."""
    for block in doctree.findall(nodes.literal_block):
        if block.rawsource == block.astext():
            block.rawsource = block.rawsource.rstrip()
            block[:] = [nodes.Text(block.rawsource)]


def setup(app: Sphinx) -> None:
    """Connect what Sphinx has no option for."""
    app.connect("doctree-read", strip_code)
