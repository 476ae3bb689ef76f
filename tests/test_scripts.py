# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command line, but for ``clean`` (test_fits_files.py)."""

import subprocess
import sys

import pytest
from astropy.config import paths
from astropy.io import fits

from astro_deepcr import __version__
from astro_deepcr.scripts import main


def test_help_and_version(capsys):
    for arguments in (["--help"], ["weights", "--help"], ["clean", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


def test_no_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_weights_list(capsys):
    assert main(["weights", "list"]) == 0
    assert "HST WFC3/UVIS imaging" in capsys.readouterr().out


def test_output_that_nobody_reads():
    code = "import sys; from astro_deepcr.scripts import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "weights", "list"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


def test_weights_fetch_export_import(tmp_path, capsys):
    assert main(["weights", "fetch", "decam"]) == 0
    assert main(["weights", "export", str(tmp_path / "usb"), "decam"]) == 0
    (tmp_path / "cache").mkdir()
    with paths.set_temp_cache(tmp_path / "cache"):
        capsys.readouterr()
        assert main(["weights", "import", str(tmp_path / "usb")]) == 0
        assert capsys.readouterr().out == "decam\n"
        assert main(["weights", "fetch", "decam"]) == 0
    assert main(["weights", "fetch", "nonsense"]) == 1
    assert "no weights called 'nonsense'" in capsys.readouterr().err


def test_demo(tmp_path, capsys):
    assert main(["demo", "--output-dir", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "universal flagged" in output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"demo_raw.fits", "demo_cleaned.fits", "demo.png"}
    assert fits.getheader(tmp_path / "out" / "demo_cleaned.fits")["CRNPIX"] > 100


def test_demo_without_matplotlib(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["demo", "--output-dir", str(tmp_path)]) == 0
    assert "No figure. Figures need matplotlib: pip" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == 2
