# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The tutorials run, from their first line to the last."""

import runpy
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.py"))


def test_there_are_tutorials():
    assert TUTORIALS


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial(path, tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    if "photutils" in path.read_text():
        pytest.importorskip("photutils", minversion="3.0")  # names of its columns
    monkeypatch.chdir(tmp_path)
    with pyplot.rc_context({"backend": "agg", "figure.max_open_warning": 0}):
        runpy.run_path(str(path))
        pyplot.close("all")
