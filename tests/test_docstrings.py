# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Every public function says what it takes, gives and raises, and shows it."""

import importlib
import inspect

import pytest

numpydoc = pytest.importorskip("numpydoc.validate")

PACKAGES = ("", ".weights", ".flags", ".simulate", ".evaluation", ".training")
# Those that ask for more text than helps: extended summaries, "See Also",
# types of parameters that are described elsewhere, dots at the end of lists.
NOT_ASKED = {"ES01", "SA01", "SA04", "YD01", "PR04", "RT02", "RT03", "GL08", "SS05"}


def public_objects():
    """Yield the full names of all public functions and classes."""
    for package in PACKAGES:
        module = importlib.import_module(f"astro_deepcr{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            own = getattr(thing, "__module__", "").startswith("astro_deepcr")
            if own and (inspect.isfunction(thing) or inspect.isclass(thing)):
                yield f"{thing.__module__}.{thing.__qualname__}"


@pytest.mark.parametrize("name", sorted(set(public_objects())))
def test_docstring(name):
    errors = dict(numpydoc.validate(name)["errors"])
    if inspect.isclass(numpydoc.Validator._load_obj(name)):
        errors.pop("EX01", None)  # shown where they are made
        errors.pop("PR01", None)  # attributes of a dataclass
    assert {c: e for c, e in errors.items() if c not in NOT_ASKED} == {}
