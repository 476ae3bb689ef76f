# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What holds for the package as a whole: imports, configuration, side effects."""

import subprocess
import sys

import numpy as np
import pytest

import astro_deepcr


def run(code):
    """Run code in a fresh interpreter and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_import_loads_nothing_heavy():
    code = (
        "import sys, astro_deepcr, astro_deepcr.scripts as s\n"
        "try: s.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'scipy', 'skimage', 'matplotlib', 'ccdproc')"
        " if m in sys.modules])"
    )
    assert run(code).strip().endswith("[]")


def test_public_names():
    for name in astro_deepcr.__all__:
        assert getattr(astro_deepcr, name) is not None
        assert name in dir(astro_deepcr)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        astro_deepcr.nonsense  # noqa: B018


def test_config_file(tmp_path, monkeypatch):
    from astropy.config import create_config_file
    from astropy.config.paths import set_temp_config

    with set_temp_config(tmp_path):
        assert create_config_file("astro_deepcr")
    text = next(tmp_path.rglob("astro_deepcr.cfg")).read_text()
    for item in ("device", "precision", "num_threads", "tile_size", "batch_size"):
        assert f"# {item} = " in text
    for item in ("weights_dir", "mirrors", "auto_logging"):
        assert item in text


def test_no_side_effects(tmp_path, monkeypatch):
    """No files, no seeds, no printing, no change of numpy's error handling."""
    import torch

    monkeypatch.chdir(tmp_path)
    image = np.full((40, 40), 100.0)
    image[20, 10:15] = 3000
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_state, errors = torch.get_rng_state(), np.geterr()
    astro_deepcr.cosmicray_deepcr(image)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.geterr() == errors
    assert not list(tmp_path.iterdir())
