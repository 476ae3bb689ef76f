# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cut a frame into overlapping tiles, and put the results together again."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = [
    "Tile",
    "common_inside",
    "cut_tile",
    "gather_tile",
    "plan_tiles",
    "stitch_tile",
]


@dataclass(frozen=True)
class Tile:
    """
    A part of a frame that the network sees at once.

    Attributes
    ----------
    area : tuple of slice
        Rows and columns that this tile gives the result for.
    window : tuple of slice
        Rows and columns that it sees: the area and a halo around it, but nothing
        beyond the edges of the frame, where the network pads as it was trained to.
        At the end of an axis up to ``stride - 1`` pixels more.
    """

    area: tuple
    window: tuple

    @property
    def inside(self):
        """Rows and columns of the window that belong to the area."""
        return tuple(
            slice(area.start - window.start, area.stop - window.start)
            for area, window in zip(self.area, self.window, strict=True)
        )

    @property
    def cost(self):
        """Pixels that a network sees on its way down, and gives on its way up."""
        return sum(
            math.prod(part.stop - part.start for part in parts)
            for parts in (self.window, self.area)
        )


def plan_tiles(shape, tile_size, halo, stride=1):
    """
    Plan the tiles of a frame.

    All tiles of a plan have the same size, so that they can be batched, and begin
    at multiples of the network's stride, so that its pooling sees the same
    pixels together however the frame is cut.

    Parameters
    ----------
    shape : tuple of int
        Shape of the frame.
    tile_size : int
        Largest side of a tile with its halo, in pixels.
    halo : int
        Width of the overlap: how far a network looks.
    stride : int, optional
        Number of pixels that the network pools together along each axis.

    Returns
    -------
    tiles : list of `Tile`
        Together they give one result for every pixel.

    Examples
    --------
    >>> from astro_deepcr.tiling import plan_tiles
    >>> len(plan_tiles((1000, 500), tile_size=256, halo=12, stride=4))
    15
    """
    rows, columns = (_split(n, tile_size, halo, stride) for n in shape)
    return [
        Tile((area_y, area_x), (window_y, window_x))
        for (area_y, window_y), (area_x, window_x) in product(rows, columns)
    ]


def cut_tile(image, tile):
    """
    Cut a tile out of an image.

    Parameters
    ----------
    image : `~numpy.ndarray`, shape (..., rows, columns)
        The frame, or several channels of it.
    tile : `Tile`
        Where to cut.

    Returns
    -------
    cutout : `~numpy.ndarray`, shape (..., height, width)
        What ``tile.window`` shows: a view, unless the window ends a few pixels
        beyond the frame, which are then reflected.
    """
    cutout = image[..., *tile.window]
    missing = [
        (0, window.stop - window.start - n)
        for window, n in zip(tile.window, cutout.shape[-2:], strict=True)
    ]
    if missing == [(0, 0), (0, 0)]:
        return cutout
    unchanged = [(0, 0)] * (image.ndim - 2)
    return np.pad(cutout, unchanged + missing, mode="symmetric")


def common_inside(tiles):
    """
    Return the rows and columns of the windows that some of the tiles give results for.

    Parameters
    ----------
    tiles : list of `Tile`
        Of one plan.

    Returns
    -------
    inside : tuple of slice
    """
    axes = zip(*(tile.inside for tile in tiles), strict=True)
    return tuple(
        slice(min(one.start for one in axis), max(one.stop for one in axis))
        for axis in axes
    )


def stitch_tile(output, tile, result, inside):
    """
    Write a tile's result, without what belongs to others, into the whole output.

    Parameters
    ----------
    output : `~numpy.ndarray`, shape (..., rows, columns)
        Changed in place.
    tile : `Tile`
        Where the result belongs.
    result : `~numpy.ndarray`, shape (..., height, width)
        What the network said of a part of the tile's window.
    inside : tuple of slice
        Which part.
    """
    output[..., *tile.area] = result[..., *_own_part(tile, inside)]


def gather_tile(output, tile, result, inside, where, order):
    """
    Write the wanted pixels of a tile's result into a list of all that are wanted.

    Parameters
    ----------
    output : `~numpy.ndarray`, shape (..., n)
        Changed in place.
    tile, result, inside
        As for `stitch_tile`.
    where : `~numpy.ndarray` of bool, shape (rows, columns)
        The pixels that are wanted.
    order : `~numpy.ndarray` of int, shape (n,)
        Where they are in the flattened frame: ``np.flatnonzero(where)``.
    """
    wanted = where[tile.area]
    rows, columns = np.nonzero(wanted)
    first_row, first_column = (part.start for part in tile.area)
    place = (rows + first_row) * where.shape[1] + columns + first_column
    own = result[..., *_own_part(tile, inside)]
    output[..., np.searchsorted(order, place)] = own[..., wanted]


def _own_part(tile, inside):
    """Return the part of a result that belongs to no other tile."""
    return tuple(
        slice(part.start - held.start, part.stop - held.start)
        for part, held in zip(tile.inside, inside, strict=True)
    )


def _split(length, largest, halo, stride):
    """Return areas and windows along one axis."""
    halo = _round_up(halo, stride)
    padded = _round_up(length, stride)
    inner = max((largest // stride * stride) - 2 * halo, stride)
    parts = max(-(-(padded - 2 * halo) // inner), 1)
    if parts == 1:
        return [(slice(0, length), slice(0, padded))]
    side = _round_up(-(-(padded - 2 * halo) // parts), stride) + 2 * halo
    starts = [
        k * (padded - side) // (parts - 1) // stride * stride for k in range(parts)
    ]
    edges = [0, *(start + halo for start in starts[1:]), length]
    return [
        (slice(edges[k], edges[k + 1]), slice(start, start + side))
        for k, start in enumerate(starts)
    ]


def _round_up(value, multiple):
    return -(-value // multiple) * multiple
