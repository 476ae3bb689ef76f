# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Robust sky level and noise of a frame: what a network's input is scaled with."""

import math
from dataclasses import dataclass

import numpy as np

from .exceptions import WeightsError

__all__ = [
    "NORMALIZATIONS",
    "Normalization",
    "measure_normalization",
    "measure_sample",
    "row_step",
    "sky_and_noise",
]

#: Standard deviation of a Gaussian over its median absolute deviation.
MAD_TO_STD = 1.4826
# More pixels than these (4096 x 4096) tell nothing new of a whole frame.
_LARGEST_SAMPLE = 2**24
# These (1024 x 1024) tell its sky and its noise to a thousandth.
_ENOUGH = 2**20


def sky_and_noise(values, mask=None):
    """
    Measure the sky level and the noise of a frame.

    The noise is taken from differences of neighbouring pixels, which stars,
    galaxies and gradients hardly touch.

    Parameters
    ----------
    values : `~numpy.ndarray`, shape (rows, columns)
        The image.
    mask : `~numpy.ndarray` of bool, optional
        True for pixels to be left out.

    Returns
    -------
    sky : float
        Median of the pixels.
    noise : float
        ``1.4826 * median(|I(x + 1) - I(x)|) / sqrt(2)``. Where most neighbours
        are equal, as in coarsely quantised images, the root mean square of the
        differences over sqrt(2), those beyond twice the median of the others
        counting as that; 1 for a constant image.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.noise import sky_and_noise
    >>> image = np.random.default_rng(1).normal(100., 5., size=(200, 200))
    >>> sky, noise = sky_and_noise(image)
    >>> round(sky), round(noise)
    (100, 5)
    """
    if values.dtype.kind in "iu":  # differences of unsigned ones wrap around
        values = values.astype(np.float64)
    good = values if mask is None else values[~mask]
    sky = float(np.median(good))
    with np.errstate(invalid="ignore", over="ignore"):  # masked ones may be infinite
        differences = np.abs(values[:, 1:] - values[:, :-1])
    if mask is not None and mask.any():
        differences = differences[~(mask[:, 1:] | mask[:, :-1])]
    if differences.size == 0:
        differences = np.sqrt(2) * np.abs(good - sky)  # as large as of neighbours
    noise = MAD_TO_STD * float(np.median(differences)) / np.sqrt(2)
    if noise == 0:  # more than half of the neighbours are equal
        steps = differences[differences > 0]
        largest = 2 * np.median(steps) if steps.size else 0  # more is no noise
        clipped = np.minimum(differences, largest, dtype=np.float64)
        noise = float(np.sqrt(np.mean(clipped**2) / 2))
    return sky, (noise if noise > 0 else 1.0)


@dataclass(frozen=True)
class Normalization:
    """
    How values of a frame become a network's input.

    That is ``(value - offset) / scale``, or the ``asinh`` of it.

    Attributes
    ----------
    offset, scale : float
        In the unit of the weights.
    asinh : bool
        Whether the result is compressed with the inverse hyperbolic sine.
    """

    offset: float = 0.0
    scale: float = 1.0
    asinh: bool = False

    def forward(self, values):
        """Return network input (float32, a new array) for values of a frame."""
        out = np.subtract(values, self.offset, dtype=np.float32)
        out *= np.float32(1 / self.scale)
        return np.arcsinh(out, out=out) if self.asinh else out

    def inverse(self, output):
        """Return values of a frame for a network's output."""
        linear = np.sinh(output) if self.asinh else output
        return linear * np.float32(self.scale) + np.float32(self.offset)


def _fixed(_values, _mask, scale):
    return Normalization(0.0, scale)


def _mean_std(values, mask, scale):
    good = values[~mask].astype(np.float64) / scale
    std = good.std()
    return Normalization(good.mean() * scale, (std if std > 0 else 1.0) * scale)


def _sky_noise_asinh(values, mask, _scale):
    rows = _some_rows(values.shape)
    if np.count_nonzero(mask[rows]) > 0.5 * _ENOUGH:  # too few would be left
        rows = slice(None)
    return Normalization(*sky_and_noise(values[rows], mask[rows]), asinh=True)


def _some_rows(shape):
    """Return all rows, or of a large frame random ones, always the same."""
    # Every n-th could fall between the orders of a spectrum.
    number = max(_ENOUGH // shape[1], 1)
    if number >= shape[0]:
        return slice(None)
    return np.sort(np.random.default_rng(0).permutation(shape[0])[:number])


#: Name (as weights files give it) -> function of values, mask and the fixed scale.
NORMALIZATIONS = {
    "fixed": _fixed,
    "mean-std": _mean_std,
    "sky-noise-asinh": _sky_noise_asinh,
}


def row_step(shape):
    """
    Tell which rows of a frame are measured: all, or in large frames every n-th.

    Parameters
    ----------
    shape : tuple of int
        Of the frame.

    Returns
    -------
    step : int
        1 up to 4096 x 4096 pixels.
    """
    return -(-math.prod(shape) // _LARGEST_SAMPLE)


def measure_normalization(values, mask, weights):
    """
    Measure, once per frame, the normalisation that some weights ask for.

    Parameters
    ----------
    values : `~numpy.ndarray` of float32, shape (rows, columns)
        The image, in the unit of the weights.
    mask : `~numpy.ndarray` of bool
        True for pixels to be left out.
    weights : `~astro_deepcr.weights.Weights`
        Their ``normalization`` and ``scale`` are used. A `Normalization` in place of
        a name is that of the frame which these values are a part of.

    Returns
    -------
    normalization : `Normalization`
        For the whole frame, never for a tile of it.
    """
    if isinstance(weights.normalization, Normalization):
        return weights.normalization
    step = row_step(values.shape)
    if mask[::step].all():  # as where every second row is missing
        step = 1
    return measure_sample(values[::step], mask[::step], weights)


def measure_sample(values, mask, weights):
    """
    Measure the normalisation from rows of a frame.

    Parameters
    ----------
    values, mask, weights
        As in `measure_normalization`, but those rows only that `row_step` tells.

    Returns
    -------
    normalization : `Normalization`
        For the whole frame.
    """
    if weights.normalization not in NORMALIZATIONS:
        msg = (
            f"The weights {weights.name!r} want the normalization "
            f"{weights.normalization!r}, which is not known to this version; it has "
            f"{', '.join(NORMALIZATIONS)}."
        )
        raise WeightsError(msg)
    return NORMALIZATIONS[weights.normalization](values, mask, weights.scale)
