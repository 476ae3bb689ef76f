# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Configuration of Sphinx. The build needs no network.

What follows the settings: an empty inventory in case another project's cannot be
fetched, the check of references to other packages, and the tables of weights, which
are made from the registry.
"""

import builtins
import datetime
import importlib.util
import pkgutil
import sys
import zlib
from pathlib import Path

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx_astropy.conf.v3 import *  # noqa: F403
from sphinx_astropy.conf.v3 import intersphinx_mapping

from astro_deepcr import __version__, conf

# -- Project -------------------------------------------------------------------

project = "astro_deepcr"
author = "The astro_deepcr developers"
copyright = f"{datetime.datetime.now(tz=datetime.UTC).year}, {author}"
release = __version__
version = release.partition("+")[0]

exclude_patterns = ["_build", "api/*.inc", "tutorials"]
html_title = f"astro_deepcr {version}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
modindex_common_prefix = ["astro_deepcr."]
plot_formats = ["png"]
plot_html_show_source_link = False
plot_html_show_formats = False

# The figures run the networks. Where the package deepCR is installed, its copies of
# the official weights are used, so that nothing has to be downloaded.
if carrier := importlib.util.find_spec("learned_models"):
    conf.weights_dir = str(Path(carrier.origin).parent / "mask")

# -- Tutorials -----------------------------------------------------------------

extensions += ["sphinx_gallery.gen_gallery"]  # noqa: F405
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "generated/tutorials",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib",),
    "ignore_repr_types": r"matplotlib\.(axes|figure|legend|text)",
    "reference_url": {"astro_deepcr": None},
    "backreferences_dir": None,
    "show_memory": False,
    "min_reported_time": 60,
}
suppress_warnings = ["config.cache"]  # sphinx-gallery puts functions there

# -- References ----------------------------------------------------------------

nitpicky = True
#: Packages whose objects are looked up by importing them, see `resolve_external`.
EXTERNAL = {"astropy", "ccdproc", "dask", "distributed", "matplotlib", "numpy"}
EXTERNAL |= {"photutils", "scipy", "skimage", "torch", *sys.stdlib_module_names}


def write_empty_inventory():
    """Write the inventory that is used where the real one is out of reach."""
    lines = ("# Sphinx inventory version 2", "# Project: none", "# Version: none")
    lines += ("# The remainder of this file is compressed using zlib.\n",)
    path = Path(__file__).parent / "_build" / "empty.inv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes("\n".join(lines).encode() + zlib.compress(b""))
    return str(path)


intersphinx_timeout = 10
_empty = write_empty_inventory()
intersphinx_mapping = {
    "python": intersphinx_mapping["pythonloc"],  # comes with sphinx-astropy
    "astropy": ("https://docs.astropy.org/en/stable/", (None, _empty)),
    "ccdproc": ("https://ccdproc.readthedocs.io/en/stable/", (None, _empty)),
    "matplotlib": ("https://matplotlib.org/stable/", (None, _empty)),
    "numpy": ("https://numpy.org/doc/stable/", (None, _empty)),
    "photutils": ("https://photutils.readthedocs.io/en/stable/", (None, _empty)),
    "scipy": ("https://docs.scipy.org/doc/scipy/", (None, _empty)),
    "skimage": ("https://scikit-image.org/docs/stable/", (None, _empty)),
    "torch": ("https://docs.pytorch.org/docs/stable/", (None, _empty)),
}


def resolve_external(_app, _env, node, content):
    """
    Accept a reference to another package, without a link, if the object exists.

    So a reference that is wrong is found, with a network and without.
    """
    target = node.get("reftarget", "")
    if hasattr(builtins, target):
        return content
    if target.partition(".")[0] not in EXTERNAL:
        return None
    try:
        pkgutil.resolve_name(target)
    except (AttributeError, ImportError, ValueError):
        return None
    return content


# -- Tables of weights ---------------------------------------------------------


class WeightsZoo(SphinxDirective):
    """Table of the weights for a task: ``.. weights-zoo:: mask``."""

    required_arguments = 1

    def run(self):
        """Return the table, made from the registry."""
        from astro_deepcr.weights import get_weights, list_weights

        task = directives.choice(self.arguments[0], ("mask", "inpaint"))
        rows = [("Name", "Good for", "Unit", "Threshold")]
        for name in list_weights(task):
            entry = get_weights(name, task=task)
            unit = entry.unit or "any"
            rows.append((f"``{name}``", entry.domain, unit, f"{entry.threshold:g}"))
        columns = {"mask": 4, "inpaint": 3}[task]  # no threshold for values
        text = ".. list-table::\n   :header-rows: 1\n\n"
        for row in rows:
            text += "   * - " + "\n     - ".join(row[:columns]) + "\n"
        return self.parse_text_to_nodes(text)


class WeightsCard(SphinxDirective):
    """What the registry knows about some weights: ``.. weights-card:: acs-wfc``."""

    required_arguments = 1

    def run(self):
        """Return a list of facts, and a table of thresholds where they are known."""
        from astro_deepcr.weights import get_weights

        entry = get_weights(self.arguments[0], task=None)
        scale = "" if entry.scale == 1 else f", divided by {entry.scale:g}"
        form = {"fixed": "as they are", "mean-std": "less their mean, over their"}
        form["mean-std"] += " standard deviation (of the frame)"
        form["sky-noise-asinh"] = "as the asinh of (value - sky) / noise of the frame"
        facts = {
            "For": entry.domain,
            "Trained on": entry.trained_on,
            "Input": f"values in {entry.unit or 'any unit'}{scale}, "
            + form[entry.normalization],
            "Network": f"``{entry.architecture}``, {entry.arguments}",
            "File": f"``{entry.filename}``, {entry.size / 1e6:.2f} MB, SHA-256 "
            f"``{entry.sha256[:16]}...``",
            "Licence": entry.license,
            "Cite": entry.reference or "the method, and this software",
        }
        if entry.task == "mask":
            facts["Threshold"] = f"{entry.threshold:g}"
        text = "".join(f":{name}: {fact}\n" for name, fact in facts.items())
        if entry.operating_points:
            text += "\n.. list-table::\n   :header-rows: 1\n\n"
            text += "   * - FPR\n     - threshold\n     - hit pixels found\n"
            for fpr, threshold, found in entry.operating_points:
                text += f"   * - {fpr:g}\n     - {threshold:.7g}\n     - {found:.1%}\n"
        return self.parse_text_to_nodes(text)


def pages_of_the_package(_app, env, *_):
    """Name the pages to read again, since they depend on more than their text."""
    pages = {"api", "configuration", "official_weights", "universal", "weights"}
    return sorted(pages & env.found_docs)


def setup(app):
    """Connect the hooks with Sphinx."""
    app.connect("env-get-outdated", pages_of_the_package)
    app.add_directive("weights-zoo", WeightsZoo)
    app.add_directive("weights-card", WeightsCard)
    # After intersphinx (500), which makes a link where it can.
    app.connect("missing-reference", resolve_external, priority=900)
