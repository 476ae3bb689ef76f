# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Whether the deviations that a network states are right, told by the frame itself.

Good pixels are hidden in the shapes of the cosmic rays of the same frame, filled like
these, and compared with what was read there. A network cannot know how often a star
hides in a frame of a kind that it never saw; the frame can tell.
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Correction",
    "choose_blocks",
    "error_beside",
    "hide_pixels",
    "measure_correction",
]

# Pixels are hidden in so many blocks at most, of so many rows and columns (a million
# pixels), until they are this share of a block or were drawn so many times.
_BLOCKS, _SIDE, _SHARE, _DRAWS = 16, 256, 0.03, 64
# A small frame is filled so many times at most.
_SETS = 8
# Fewer hidden pixels tell nothing.
_FEWEST = 200
# Values of more than this share of the brightest one may be where a detector saturates.
_BRIGHTEST = 0.9
# Pixels that tell the sky well enough for that.
_ENOUGH = 2**20
# Errors beyond so many deviations, of which noise makes hardly any, are hidden stars;
# these have a neighbour that is so many off, too, and hot pixels have none.
_OUTLIER, _BESIDE = 4, 2
# Squares of pulls count as so much at most; so many pixels say that all is well, and so
# many that no star is hidden.
_MOST, _PRIOR, _NO_STARS = 100, 50, 3
# Limits of the factor: of variances, four in deviations.
_LEAST, _LARGEST = 0.25, 16
# Median of the squares of Gaussian noise.
_MEDIAN_SQUARE = 0.4549


@dataclass(frozen=True)
class Correction:
    """
    What makes stated deviations right in one frame.

    Attributes
    ----------
    factor : float
        Of variances much larger than that of the noise.
    extra : float
        Variance that is added to all: rare stars of which nothing can be seen.
    noise : float
        Deviation of a reading of the sky. Variances much smaller than its square
        cannot be judged, and get no factor.
    """

    factor: float = 1.0
    extra: float = 0.0
    noise: float = 1.0

    def apply(self, std):
        """Return better deviations (float32, a new array)."""
        square = np.square(std, dtype=np.float64)
        share = _judged(square, self.noise**2)
        square *= 1 + (self.factor - 1) * share
        return np.sqrt(square + self.extra).astype(np.float32)


def hide_pixels(hit, usable, values):
    """
    Choose good pixels, in the shapes of those that were hit.

    Parameters
    ----------
    hit : `~numpy.ndarray` of bool, shape (rows, columns)
        One pixel or more.
    usable : `~numpy.ndarray` of bool
        Pixels that may be hidden.
    values : `~numpy.ndarray` of float
        The frame: nothing is hidden where it is about as bright as it ever is.

    Returns
    -------
    hidden : generator of `~numpy.ndarray` of bool
        Several sets in a small frame, so that there are enough; always the same ones.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.deviations import hide_pixels
    >>> hit = np.zeros((64, 64), bool)
    >>> hit[20:23, 10] = True
    >>> values = np.zeros(hit.shape)
    >>> hidden = next(hide_pixels(hit, ~hit, values))
    >>> bool(hidden.any()), bool((hidden & hit).any())
    (True, False)
    """
    rng = np.random.default_rng(0)
    blocks = choose_blocks(usable)
    usable = usable & _not_brightest(values, usable)
    number = max(np.count_nonzero(usable), 1)
    for _ in range(min(_SETS, -(-_BLOCKS * _SIDE**2 // number))):
        hidden = _hide(hit, usable, blocks, rng)
        # What is left must tell of the frame.
        if 0 < 2 * np.count_nonzero(hidden) < np.count_nonzero(usable):
            yield hidden


def _not_brightest(values, usable):
    some = np.s_[:: -(-values.size // _ENOUGH)]
    good = values[some][usable[some]]
    sky = np.median(good) if good.size else 0.0
    brightest = np.max(values, where=usable, initial=sky)
    return values <= sky + _BRIGHTEST * (brightest - sky)


def choose_blocks(usable):
    """
    Choose the parts of a frame in which pixels are hidden.

    Parameters
    ----------
    usable : `~numpy.ndarray` of bool, shape (rows, columns)
        Pixels that may be hidden.

    Returns
    -------
    blocks : list of tuple of slice
        Of a small frame all with such pixels, of a large one some.
    """
    blocks = [
        np.s_[row : row + _SIDE, column : column + _SIDE]
        for row in range(0, usable.shape[0], _SIDE)
        for column in range(0, usable.shape[1], _SIDE)
    ]
    blocks = [block for block in blocks if usable[block].any()]
    np.random.default_rng(0).shuffle(blocks)
    return blocks[:_BLOCKS]


def _hide(hit, usable, blocks, rng):
    """Return one set of hidden pixels."""
    hidden = np.zeros_like(hit)
    rows, columns = np.nonzero(hit)
    for block in blocks:
        part, allowed = hidden[block], usable[block]
        enough = _SHARE * np.count_nonzero(allowed)
        for _ in range(_DRAWS):
            if np.count_nonzero(part) >= enough:
                break
            k = rng.integers(rows.size)
            part |= allowed & _cut(hit, rows[k], columns[k], part.shape, rng)
    return hidden


def _cut(hit, row, column, shape, rng):
    """Return what surrounds a hit pixel, moved and turned."""
    start = [
        int(np.clip(center - rng.integers(size), 0, whole - size))
        for center, size, whole in zip((row, column), shape, hit.shape, strict=True)
    ]
    part = hit[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]]
    part = part[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    return np.roll(part, rng.integers(shape), axis=(0, 1))


def measure_correction(error, beside, std, reading):
    """
    Tell from errors of hidden pixels how right the stated deviations are.

    Parameters
    ----------
    error : `~numpy.ndarray`, shape (n,)
        What was read in pixels that were hidden, less what a network said of them.
    beside : `~numpy.ndarray`, shape (n,)
        As `error_beside` gives it.
    std : `~numpy.ndarray`, shape (n,)
        How far off the network said that it may be.
    reading : `~numpy.ndarray`, shape (n,)
        Deviation of a reading of these pixels, from its noise. A common factor does
        not matter.

    Returns
    -------
    correction : `Correction`
        Of no effect if there are too few pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.deviations import measure_correction
    >>> error = np.random.default_rng(0).normal(0, 6, 10_000)
    >>> stated, reading = np.full(error.size, 3.0), np.full(error.size, 0.1)
    >>> correction = measure_correction(error, 0 * error, stated, reading)
    >>> round(float(correction.apply(3.0)), 1)
    6.0
    """
    with np.errstate(over="ignore", under="ignore"):
        square = np.square(reading, dtype=np.float64)
    judged = (reading > 0) & (square > 0) & np.isfinite(square)
    if np.count_nonzero(judged) < _FEWEST:
        return Correction()
    error, beside, std, reading = (
        np.asarray(one, np.float64)[judged] for one in (error, beside, std, reading)
    )
    stated, noise = std**2, reading**2
    noise *= _noise_factor(error, stated, noise)
    sky = np.percentile(noise, 10)

    share = _judged(stated, noise)
    square = np.minimum(error**2, _MOST * (stated + noise))
    excess = np.sum(share * (square - noise) / stated) + _PRIOR
    factor = np.clip(excess / (share.sum() + _PRIOR), _LEAST, _LARGEST)

    stated *= 1 + (factor - 1) * _judged(stated, sky)
    expected = stated + noise
    small = stated < sky / 4
    hides = small & (error**2 > _OUTLIER**2 * expected)
    hides &= beside > _BESIDE * np.sqrt(expected)
    square = np.minimum(error**2, _MOST * expected) - expected
    number = np.count_nonzero(hides)
    extra = square[hides].sum() / max(np.count_nonzero(small), 1)
    extra *= number / (number + _NO_STARS)
    return Correction(float(factor), float(extra), float(np.sqrt(sky)))


def error_beside(hidden, values, known, filled):
    """
    Tell how much neighbours of hidden pixels differ from what these were filled with.

    Parameters
    ----------
    hidden : `~numpy.ndarray` of bool, shape (rows, columns)
        The pixels.
    values, known : `~numpy.ndarray`, shape (rows, columns)
        The frame, and where it is good.
    filled : `~numpy.ndarray`, shape (n,)
        What the pixels were filled with.

    Returns
    -------
    beside : `~numpy.ndarray`, shape (n,)
        Of the four neighbours the largest difference, positive if it is to the side to
        which the pixel itself differs.
    """
    rows, columns = np.nonzero(hidden)
    side = np.sign(values[rows, columns] - filled)
    largest = np.full(rows.size, -np.inf, np.float32)
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        y, x = rows + dy, columns + dx
        there = (y >= 0) & (y < hidden.shape[0]) & (x >= 0) & (x < hidden.shape[1])
        y, x = y * there, x * there
        there &= known[y, x]
        with np.errstate(invalid="ignore"):  # where the frame is not known
            beside = np.where(there, side * (values[y, x] - filled), -np.inf)
        largest = np.maximum(largest, beside)
    return largest


def _judged(stated, noise):
    """Return how well errors of such variance are seen beside the noise, 0 to 1."""
    return (stated / (stated + noise)) ** 2


def _noise_factor(error, stated, noise):
    """Return how many times the variance of the noise is what is said of it."""
    sure = stated <= np.median(stated)
    small = np.median(stated[sure])
    # Where networks are surest, nearly all of the error should be noise.
    seen = np.median(error[sure] ** 2) / _MEDIAN_SQUARE - small
    return seen / np.median(noise[sure]) if seen > 4 * small else 1.0
