# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a batch has done, so that it can go on where it was interrupted.

Each folder with outputs has one file with a line for each output. The line is written
when the output is complete under a temporary name, and before it gets its own. So a
file under its own name, with the size and time in the line, is done; whatever else is
there was made by others.
"""

import json
import os
from pathlib import Path

__all__ = ["Journal", "fingerprint"]

_NAME = ".deepcr-journal.jsonl"


def fingerprint(path):
    """
    Return what tells one version of a file from the next.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    fingerprint : list of int
        Its size in bytes and the time of its last change in nanoseconds.
    """
    status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns]


class Journal:
    """
    The journal of one folder.

    Parameters
    ----------
    folder : path-like
        Where the outputs are. Nothing is written before the first is done.
    """

    def __init__(self, folder):
        self.path = Path(folder) / _NAME
        self._lines = dict(self._read())

    def check(self):
        """Raise PermissionError unless lines can be added."""
        if self.path.exists() and not os.access(self.path, os.W_OK):
            msg = (
                f"The journal {self.path} is read-only: it may be of another user. "
                "Remove it, or write to another folder: output_dir= (--output-dir)."
            )
            raise PermissionError(msg)

    def find(self, source, target, settings):
        """
        Return what was noted of an output, if it is done.

        Parameters
        ----------
        source, target : path-like
            The file that is cleaned, and its output.
        settings : str
            Whatever the values of the output depend on.

        Returns
        -------
        notes : dict or None
            `None` if the output is not there, or not as it was left, or was made
            from another version of the file or with other settings.
        """
        line = self._lines.get(Path(target).name)
        if line is None or not (Path(target).exists() and Path(source).exists()):
            return None
        name = Path(source).name  # folders may be moved, or called otherwise
        wanted = [name, fingerprint(source), settings, fingerprint(target)]
        found = [line.get(k) for k in ("source", "version", "settings", "output")]
        return line["notes"] if found == wanted else None

    def add(self, source, version, target, settings, part, notes):
        """
        Note that an output is complete, under a temporary name.

        Parameters
        ----------
        source, target, settings
            As in `find`.
        version : list of int
            The `fingerprint` of the file when it was read.
        part : path-like
            The temporary name.
        notes : dict
            What `find` is to return, of the types that JSON has.
        """
        line = {
            "target": Path(target).name,
            "source": Path(source).name,
            "version": version,
            "settings": settings,
            "output": fingerprint(part),
            "notes": notes,
        }
        with self.path.open("a+b") as file:
            if file.tell() and not self._ends_with_newline():
                file.write(b"\n")  # a line was cut off when its writer was killed
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines[line["target"]] = line

    def _read(self):
        """Yield name and line of each output; later lines replace earlier ones."""
        text = self.path.read_bytes() if self.path.exists() else b""
        for raw in text.splitlines():
            try:
                line = json.loads(raw)
                yield line["target"], line
            except (ValueError, KeyError, TypeError):
                continue  # cut off

    def _ends_with_newline(self):
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"
