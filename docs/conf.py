"""How the guides and the docstrings become a site: ``python3 dev.py docs``."""

import contextlib
import io
import os
from importlib.metadata import version as _version

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.ext.autodoc import MethodDocumenter

from leads_pandas.cli import main as _main

project = "leads_pandas"
author = project_copyright = "The leads_pandas developers"
version = release = _version("leads_pandas")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
default_role = "py:obj"
myst_heading_anchors = 3

html_theme = "furo"
html_title = project
html_show_sourcelink = html_copy_source = False

autodoc_member_order = "bysource"
maximum_signature_line_length = 68
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

os.environ["COLUMNS"] = "80"  # for what commands say

nitpicky = True  # a name that leads nowhere fails the build
nitpick_ignore_regex = [
    # Names of other projects: to look them up, the build would need the network.
    ("py:.*", r"(pd|pandas|pa|pyarrow|np|os|collections|datetime|dd|dask)\..*|Axes|datetime"),
    ("py:.*", "Callable.*|Collection|Hashable|Iterable|Mapping|Sequence"),
    # What `LocalServer` takes for leads, said in its words.
    ("py:.*", "Leads|Path|TracebackType"),
    # Texts of a closed set.
    ("py:.*", "JobState"),
]


def _public(app, env, node, content):
    """Find the public home of a name that a docstring or an annotation mentions alone."""
    name = node["reftarget"].rpartition(".")[2]
    domain = env.get_domain("py")
    for home in (
        "leads_pandas",
        "leads_pandas.server",
        "leads_pandas.finding.sites",
        "leads_pandas.plotting.Plot",
    ):
        target = f"{home}.{name}"
        if target in domain.objects:
            return domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", target, node, content
            )
    return None


class AccessorDocumenter(MethodDocumenter):
    """Methods of the accessor, under the name by which they are called."""

    objtype = "accessor"
    directivetype = "method"
    priority = -1  # only where it is asked for

    def format_name(self):
        """The name in front of the signature."""
        return f"DataFrame.leads.{self.objpath[-1]}"


class Command(Directive):
    """A command of ours after a prompt, and what it says."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """The block."""
        line = self.arguments[0]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            _main(line.split()[1:])
        text = f"$ {line}\n{said.getvalue()}"
        return [nodes.literal_block(text, text, language="console")]


def setup(app):
    """Called by Sphinx."""
    app.add_directive("command", Command)
    app.add_autodocumenter(AccessorDocumenter)
    app.connect("missing-reference", _public)
