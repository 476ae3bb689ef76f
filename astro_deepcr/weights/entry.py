# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is known about one set of weights."""

from dataclasses import asdict, dataclass, field, fields
from math import log10
from pathlib import Path, PurePosixPath

import numpy as np

from ..exceptions import WeightsError

# Rates that float32 makes a little smaller are those that were measured.
_LESS = 1 - 1e-6

__all__ = ["Weights"]


@dataclass(frozen=True)
class Weights:
    """
    Everything that is known about one set of weights.

    Attributes
    ----------
    name : str
        Name in the zoo. A name never changes its meaning.
    sha256 : str
        Checksum of the file, in hexadecimal digits.
    task : str
        'mask' (finds cosmic rays) or 'inpaint' (fills pixels).
    architecture : str
        Name of the network's class, see `astro_deepcr.models.ARCHITECTURES`.
    arguments : dict
        Keyword arguments of that class.
    halo : int
        How far, in pixels, the network looks.
    stride : int
        Number of pixels that it pools together along each axis.
    url : str
        Where the file comes from; empty for local files.
    path : str
        Where a local file is; empty for others.
    size : int
        Size of the file in bytes.
    unit : str or None
        Unit that the network wants; `None` if it takes any.
    normalization : str
        How the input is scaled: 'fixed', 'mean-std' or 'sky-noise-asinh'.
    scale : float
        What values are divided by in the 'fixed' and 'mean-std' normalisations.
    threshold : float
        Recommended threshold of the probability.
    operating_points : tuple of tuple
        Measured (false-positive rate, threshold, true-positive rate).
    instruments : tuple of str
        'INSTRUME/DETECTOR' that it was trained for; empty if for any.
    domain : str
        What it is good for, in words.
    license : str
        SPDX identifier.
    reference : str
        What to cite.
    trained_on : str
        Training data, in words.
    metrics : dict
        What was measured on the validation data, name -> number.
    """

    name: str
    sha256: str
    task: str
    architecture: str
    arguments: dict = field(hash=False)
    halo: int
    stride: int
    url: str = ""
    path: str = ""
    size: int = 0
    unit: str | None = None
    normalization: str = "fixed"
    scale: float = 1.0
    threshold: float = 0.5
    operating_points: tuple = ()
    instruments: tuple = ()
    domain: str = ""
    license: str = ""
    reference: str = ""
    trained_on: str = ""
    metrics: dict = field(default_factory=dict, hash=False)

    @property
    def filename(self):
        """Name of the file, without directories."""
        return PurePosixPath(self.url).name if self.url else Path(self.path).name

    def to_spec(self):
        """Return what a weights file says of itself, as a dictionary for JSON."""
        where = ("sha256", "url", "path", "size")  # of the file, not of the weights
        return {key: value for key, value in asdict(self).items() if key not in where}

    @classmethod
    def from_spec(cls, spec, *, path, sha256, size):
        """
        Make an entry from what a weights file says of itself.

        Parameters
        ----------
        spec : dict
            As made by `to_spec`.
        path, sha256, size : str, str, int
            The file.

        Returns
        -------
        weights : `Weights`
            The entry.

        Raises
        ------
        ~astro_deepcr.exceptions.WeightsError
            If the specification lacks something or holds something unknown.
        """
        known = {f.name for f in fields(cls)}
        try:
            spec = {key: _frozen(value) for key, value in spec.items() if key in known}
            spec |= {"path": str(path), "sha256": sha256, "size": size, "url": ""}
            return cls(**spec)
        except (TypeError, AttributeError) as err:
            msg = f"The specification in {path} is not complete: {err}."
            raise WeightsError(msg) from None

    def threshold_for(self, fpr):
        """
        Return the threshold with a given false-positive rate.

        Parameters
        ----------
        fpr : float
            Fraction of the pixels without a cosmic ray that may be flagged.

        Returns
        -------
        threshold : float
            Interpolated between the measured `operating_points`.

        Raises
        ------
        ValueError
            If nothing was measured, or not at such a rate.
        """
        points = sorted(self.operating_points)
        if not points:
            msg = (
                f"No false-positive rates were measured for the weights "
                f"{self.name!r}; pass threshold= instead of fpr=."
            )
            raise ValueError(msg)
        rates = [point[0] for point in points]
        inside = np.isscalar(fpr) and rates[0] * _LESS <= fpr <= rates[-1] / _LESS
        if not inside:
            msg = (
                f"fpr={fpr} is outside of what was measured for the weights "
                f"{self.name!r}: {rates[0]} to {rates[-1]}. Pass threshold= instead."
            )
            raise ValueError(msg)
        # Straight lines between logits against log(rate): both cover decades.
        logits = [log10(t / (1 - t)) for _, t, *_ in points]
        logit = np.interp(log10(fpr), [log10(rate) for rate in rates], logits)
        return float(1 / (1 + 10**-logit))


def _frozen(value):
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
