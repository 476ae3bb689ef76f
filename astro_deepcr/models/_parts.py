# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which part of each level of a U-Net gives the part of the image that is wanted."""

__all__ = []


def parts_needed(inside, shape, reaches):
    """
    Say which part of each level the way up needs.

    Parameters
    ----------
    inside : tuple of slice or None
        Rows and columns of the finest level that are wanted; `None` for all.
    shape : tuple of int
        Rows and columns of the finest level.
    reaches : list of int
        How many pixels the layers on the way up see around theirs at each level but
        the coarsest, the finest first.

    Returns
    -------
    parts : list of tuple of slice
        Of each level, the finest first. They begin and end between the pixels of the
        next coarser level, or at the edges of the image.

    Examples
    --------
    >>> from astro_deepcr.models._parts import parts_needed
    >>> parts_needed((slice(9, 20), slice(0, 32)), (32, 32), [2])
    [(slice(6, 22, None), slice(0, 32, None)), (slice(0, 16, None), slice(0, 16, None))]
    """
    wanted = inside or whole(shape)
    parts = []
    for level, reach in enumerate(reaches):
        sizes = [n >> level for n in shape]
        part = tuple(_grow(*one, reach) for one in zip(wanted, sizes, strict=True))
        parts.append(part)
        wanted = halved(part)
    return [*parts, whole(n >> len(reaches) for n in shape)]


def halved(part):
    """Return a part in pixels of the next coarser level."""
    return tuple(slice(one.start // 2, one.stop // 2) for one in part)


def doubled(part):
    """Return a part in pixels of the next finer level."""
    return tuple(slice(2 * one.start, 2 * one.stop) for one in part)


def whole(shape):
    """Return the part that is all of an image."""
    return tuple(slice(0, n) for n in shape)


def cut(x, part, held):
    """Cut a part out of a tensor (..., rows, columns) that holds another."""
    index = [
        slice(one.start - outer.start, one.stop - outer.start)
        for one, outer in zip(part, held, strict=True)
    ]
    return x[(..., *index)]


def _grow(wanted, size, reach):
    """Grow a slice to both sides, and on to even pixels."""
    start = max(wanted.start - reach, 0) // 2 * 2
    return slice(start, min(-(-(wanted.stop + reach) // 2) * 2, size))
