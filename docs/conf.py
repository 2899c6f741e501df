"""The documentation: `sphinx-build -W docs build/docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).parent))

import lropt_jax

project = "lropt_jax"
author = "The lropt_jax authors"
copyright = author
release = version = lropt_jax.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_nb",
    "pictures",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "lropt_jax"
html_static_path = ["_static"]
html_extra_path = ["atlas/atlas.html"]  # a page that needs nothing else
html_css_files = ["site.css"]
html_js_files = ["tables.js", "figures.js"]

# What is in backticks in a docstring is a name here where there is one, else plain code.
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # arguments that share a line in a docstring share one here
napoleon_use_ivar = True
napoleon_custom_sections = ["When to use", "Reference"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "linkify"]
myst_linkify_fuzzy_links = False  # mine.py is a file, not a host in Paraguay
myst_heading_anchors = 3
smartquotes_action = "e"  # --folder stays an option, and "vmap" what can be pasted
nb_execution_mode = "off"  # the notebooks are executed and committed
# A name that several classes have (`.trained()`) leads to the first of them.
suppress_warnings = ["myst.strikethrough", "ref.python"]


COLON = "\ue000"  # stands for one while Napoleon reads


def _of_markdown(app, what, name, obj, options, lines):
    """What docstrings borrow from Markdown: `$x$`, tables, a name in backticks with an s."""
    text = "\n".join(lines)
    text = re.sub(r"^( *)\|.*(?:\n *\|.*)+", _table, text, flags=re.M)
    text = re.sub(
        r"\$\$(.+?)\$\$", lambda m: f"\n\n.. math:: {' '.join(m[1].split())}\n\n", text, flags=re.S
    )
    text = re.sub(r"(?<![\\$\w])\$([^$\n]+(?:\n[^$\n]+)?)\$(?!\w)", r":math:`\1`", text)
    text = re.sub(r"(`[\w.]+`)(?=[a-z])", r"\1\\ ", text)
    text = re.sub(r"(?<![\\`])\|(?=\w)", r"\\|", text)
    lines[:] = text.split("\n")
    if what in ("attribute", "property"):
        # Of their first line, Napoleon takes what stands before a colon as the type.
        lines[0] = lines[0].replace(":", COLON)


def _after_napoleon(app, what, name, obj, options, lines):
    lines[:] = [line.replace(COLON, ":") for line in lines]


def _dashes(app, doctree, page):
    """Between an argument and what it is, Sphinx puts two hyphens, for smart quotes to join."""
    for text in [t for t in doctree.findall(nodes.Text) if t.startswith(" -- ")]:
        text.parent.replace(text, nodes.Text(" – " + text[len(" -- ") :]))


def _table(match):
    indent, rows = match[1], [line.strip().strip("|").split("|") for line in match[0].split("\n")]
    rows = [row for row in rows if set("".join(row)) - set("-: ")]
    out = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in rows:
        out += [f"{indent}   {'*' if not i else ' '} - {c.strip()}" for i, c in enumerate(row)]
    return "\n".join([*out, ""])


def setup(app):
    app.connect("autodoc-process-docstring", _of_markdown, priority=400)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)
    app.connect("doctree-resolved", _dashes)
