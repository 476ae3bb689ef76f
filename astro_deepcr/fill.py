# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What lies under a cosmic ray: fills from the neighbours, with their spread."""

from functools import partial

import numpy as np

from .noise import sky_and_noise

__all__ = ["FILL_METHODS", "FILL_REACH", "fill_pixels", "local_noise"]

# Half widths of the square windows that are tried until enough good pixels are found.
_RADII = (2, 4, 8, 16)
#: How far, in pixels, the neighbours are that a pixel is filled from.
FILL_REACH = _RADII[-1]
# A median of fewer neighbours than this says little.
_MIN_GOOD = 4
# Noise drawn from the scatter of fewer would be larger: squares of it count.
_MANY_GOOD = 40
# Numbers that a batch of windows may hold: 32 MB of float32.
_BATCH_NUMBERS = 8_000_000
# The biharmonic equation is solved so many masked pixels beyond those to be filled.
_RIM = 8
# Second difference that keeps the size of noise.
_CURVATURE = np.array([1, -2, 1], np.float32) / np.sqrt(6, dtype=np.float32)


def fill_pixels(values, fill, bad=None, method="median"):
    """
    Estimate the values of some pixels from their good neighbours.

    Parameters
    ----------
    values : `~numpy.ndarray` of float32, shape (rows, columns)
        The image. What it holds in pixels to be filled does not matter.
    fill : `~numpy.ndarray` of bool
        The pixels to be filled.
    bad : `~numpy.ndarray` of bool, optional
        Further pixels that say nothing and are left alone.
    method : str, optional
        'median', 'mean' or 'idw' (weighted with the inverse square of the
        distance) of the good pixels in a window of 5 x 5 pixels, larger where
        that holds fewer than four; 'biharmonic' solves the biharmonic equation
        (`skimage.restoration.inpaint_biharmonic`).

    Returns
    -------
    filled : `~numpy.ndarray` of float32, shape (n,)
        In the order of ``values[fill]``.
    std : `~numpy.ndarray` of float32, shape (n,)
        Expected deviation from what the pixel would have shown without the hit:
        the scatter of the neighbours, noise and structure together, and the error
        of the estimate.

    Raises
    ------
    ValueError
        If the method is not known, or no good pixel is left.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.fill import fill_pixels
    >>> image = np.arange(25, dtype=np.float32).reshape(5, 5)
    >>> hit = np.zeros((5, 5), bool)
    >>> hit[2, 2] = True
    >>> fill_pixels(image, hit, method='mean')[0]
    array([12.], dtype=float32)
    """
    if method not in FILL_METHODS:
        msg = f"inpaint={method!r} is not known; choose {_names()}, 'network' or None."
        raise ValueError(msg)
    good = ~fill if bad is None else ~(fill | bad)
    if not good.any():
        msg = (
            "No good pixel is left to fill the others from: all pixels are masked "
            "or flagged. Mask fewer, raise the threshold, or pass inpaint=None."
        )
        raise ValueError(msg)
    return FILL_METHODS[method](values, fill, good)


def local_noise(values, fill, bad=None):
    """
    Estimate the noise around some pixels from the curvature of their neighbourhood.

    Parameters
    ----------
    values, fill, bad
        As for `fill_pixels`.

    Returns
    -------
    noise : `~numpy.ndarray` of float32, shape (n,)
        Standard deviation of the noise of a pixel, in the order of ``values[fill]``.

    Notes
    -----
    The image is convolved with a difference of two Laplacians, which lets pass
    neither a slope nor a ridge along rows or columns, and which leaves uncorrelated
    noise as large as it was [1]_. Sampled stars still add to the result.

    References
    ----------
    .. [1] Immerkaer, J. 1996, "Fast Noise Variance Estimation", Computer Vision and
       Image Understanding, 64, 300.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.fill import local_noise
    >>> image = np.random.default_rng(0).normal(0, 2, (99, 99)).astype('float32')
    >>> image += 9 * np.arange(99, dtype='float32')  # a slope
    >>> hit = np.zeros((99, 99), bool)
    >>> hit[40:44, 50] = True
    >>> bool(np.all(np.abs(local_noise(image, hit) - 2) < 1.5))
    True
    """
    from scipy.ndimage import correlate1d

    known = np.where(fill if bad is None else fill | bad, np.nan, values)
    for axis in (0, 1):
        known = correlate1d(known, _CURVATURE, axis, mode="constant", cval=np.nan)
    unknown = np.isnan(known)
    if unknown.all():  # no 3 x 3 good pixels are left together
        return fill_pixels(values, fill, bad)[1]
    windows = _fill_windows(known, fill, ~unknown, _scatter, _MANY_GOOD)
    return windows[1]


def _names():
    return ", ".join(repr(name) for name in FILL_METHODS)


def _fill_windows(values, fill, good, estimate, least=_MIN_GOOD):
    """Fill from windows that grow until they hold enough good pixels."""
    rows, columns = np.nonzero(fill)
    filled = np.empty(rows.size, np.float32)
    std = np.empty(rows.size, np.float32)
    todo = np.arange(rows.size)
    for radius in _RADII:
        if todo.size == 0:
            break
        padded, distance2 = _pad_windows(values, good, radius)
        batch = max(_BATCH_NUMBERS // distance2.size, 1)
        needed = least if radius < FILL_REACH else _MIN_GOOD
        left = []
        if todo.size * distance2.size > values.size:  # to count first is quicker
            count = _count_good(good, radius)
            poor = count[rows[todo], columns[todo]] < needed
            left, todo = [todo[poor]], todo[~poor]
        for part in np.split(todo, range(batch, todo.size, batch)):
            windows = _gather(padded, rows[part], columns[part], radius)
            count = np.count_nonzero(~np.isnan(windows), axis=1)
            enough = count >= needed
            done = part[enough]
            filled[done], std[done] = estimate(
                windows[enough], count[enough], distance2
            )
            left.append(part[~enough])
        todo = np.concatenate(left)
    if todo.size:  # deep inside a masked block: only the frame as a whole is known
        filled[todo], _ = sky_and_noise(values, ~good)
        std[todo] = np.std(values[good], dtype=np.float64)
    if (flat := std == 0).any():  # equal neighbours do not make a pixel certain
        std[flat] = sky_and_noise(values, ~good)[1]
    return filled, std


def _pad_windows(values, good, radius):
    """Return the image with NaN for bad pixels and beyond its edge, and distances."""
    padded = np.full(np.add(values.shape, 2 * radius), np.nan, np.float32)
    inner = padded[radius:-radius, radius:-radius]
    np.copyto(inner, values, where=good)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return padded, (x**2 + y**2).ravel().astype(np.float32)


def _count_good(good, radius):
    """Return how many good pixels the window around each pixel holds."""
    from scipy.ndimage import uniform_filter

    size = 2 * radius + 1
    share = uniform_filter(good.astype(np.float32), size, mode="constant")
    return np.rint(share * size**2)


def _gather(padded, rows, columns, radius):
    """Return the window around each pixel as one row of numbers."""
    side = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return windows[rows, columns].reshape(rows.size, side * side)


# Each of these returns an estimate and the expected deviation of a new pixel from it:
# the spread of the neighbours, and the error of the estimate itself.


def _median(windows, count, distance2):
    """Median, and the scatter of the others with the error of the median."""
    median, scatter = _scatter(windows, count, distance2)
    return median, scatter * np.sqrt(1 + np.pi / 2 / count)


def _scatter(windows, count, _distance2):
    """Median, and half the distance between the 16th and 84th percentiles."""
    ordered = np.sort(windows, axis=1)  # NaN last
    row = np.arange(count.size)
    median = (ordered[row, (count - 1) // 2] + ordered[row, count // 2]) / 2
    # Ranks that normal values of this number exceed by one sigma (Blom 1958).
    rank = np.maximum(0.1587 * (count + 0.25) - 0.625, 0)
    low = rank.astype(int)
    part = (rank - low).astype(np.float32)
    lower = ordered[row, low] * (1 - part) + ordered[row, low + 1] * part
    high = count - 1 - low
    upper = ordered[row, high] * (1 - part) + ordered[row, high - 1] * part
    scatter = (upper - lower) / 2
    coarse = (lower == median) | (upper == median)  # quantised: ranks say little
    scatter[coarse] = np.nanstd(windows[coarse], axis=1, dtype=float)
    return median, scatter


def _mean(windows, count, _distance2):
    mean = np.nansum(windows, axis=1) / count
    deviation2 = np.nansum((windows - mean[:, np.newaxis]) ** 2, axis=1)
    return mean, np.sqrt(deviation2 / (count - 1) * (1 + 1 / count))


def _idw(windows, _count, distance2):
    weights = np.where(np.isnan(windows), 0, 1 / np.maximum(distance2, 1))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = np.nansum(weights * windows, axis=1)
    deviation = (windows - mean[:, np.newaxis]).astype(float)  # squares of small units
    deviation2 = np.nansum(weights * deviation**2, axis=1)
    share = np.sum(weights**2, axis=1)  # 1 / number of neighbours that count
    return mean, np.sqrt(deviation2 / (1 - share) * (1 + share))


def _fill_biharmonic(values, fill, good):
    from scipy.ndimage import binary_dilation
    from skimage.restoration import inpaint_biharmonic

    _, std = _fill_windows(values, fill, good, _median)
    # Of large masked parts only the rim can be told, and is asked for: the solver takes
    # what is connected as one system.
    wanted = fill | (~good & binary_dilation(fill, iterations=_RIM))
    beside = ~(good | wanted) & binary_dilation(wanted, np.ones((5, 5)))
    image = np.where(good, values, 0)
    if beside.any():
        image[beside] = _fill_windows(values, beside, good, _median)[0]
    # Scaled, since the solver stops at an absolute accuracy.
    offset, scale = sky_and_noise(values, ~good)
    known = good | beside
    scaled = np.where(known, (image - offset) / scale, 0).astype(np.float64)
    solved = inpaint_biharmonic(scaled, wanted, split_into_regions=True)
    return (solved[fill] * scale + offset).astype(np.float32), std


#: Name of a method -> function of values, pixels to fill, and good pixels.
FILL_METHODS = {
    "median": partial(_fill_windows, estimate=_median),
    "mean": partial(_fill_windows, estimate=_mean),
    "idw": partial(_fill_windows, estimate=_idw),
    "biharmonic": _fill_biharmonic,
}
