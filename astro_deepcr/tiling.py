# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cut a frame into overlapping tiles, and put the results together again."""

from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = ["Tile", "cut_tile", "plan_tiles", "stitch_tile"]


@dataclass(frozen=True)
class Tile:
    """
    A square part of a frame that the network sees at once.

    Attributes
    ----------
    row, column : int
        First pixel that this tile gives a result for.
    rows, columns : int
        Number of pixels that it gives a result for.
    height, width : int
        Size of the tile with its halo on all sides.
    halo : int
        Width of the border that is seen but gets no result.
    """

    row: int
    column: int
    rows: int
    columns: int
    height: int
    width: int
    halo: int

    @property
    def area(self):
        """Slices of the frame that this tile gives a result for."""
        return (
            slice(self.row, self.row + self.rows),
            slice(self.column, self.column + self.columns),
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
    halo = _round_up(halo, stride)
    (starts_y, step_y), (starts_x, step_x) = (
        _split(n, tile_size - 2 * halo, stride) for n in shape
    )
    height, width = step_y + 2 * halo, step_x + 2 * halo
    return [
        Tile(
            y,
            x,
            min(step_y, shape[0] - y),
            min(step_x, shape[1] - x),
            height,
            width,
            halo,
        )
        for y, x in product(starts_y, starts_x)
    ]


def cut_tile(image, tile):
    """
    Cut a tile out of an image; beyond the frame's edge the image is reflected.

    Parameters
    ----------
    image : `~numpy.ndarray`, shape (..., rows, columns)
        The frame, or several channels of it.
    tile : `Tile`
        Where to cut.

    Returns
    -------
    cutout : `~numpy.ndarray`, shape (..., tile.height, tile.width)
        A view inside the frame, a copy at its edges.
    """
    top, left = tile.row - tile.halo, tile.column - tile.halo
    bottom, right = top + tile.height, left + tile.width
    rows, columns = image.shape[-2:]
    if top >= 0 and left >= 0 and bottom <= rows and right <= columns:
        return image[..., top:bottom, left:right]
    y = _reflect(np.arange(top, bottom), rows)
    x = _reflect(np.arange(left, right), columns)
    return image[..., y[:, np.newaxis], x]


def stitch_tile(output, tile, result):
    """
    Write a tile's result, without its halo, into the whole output.

    Parameters
    ----------
    output : `~numpy.ndarray`, shape (rows, columns)
        Changed in place.
    tile : `Tile`
        Where the result belongs.
    result : `~numpy.ndarray`, shape (tile.height, tile.width)
        What the network said of the tile.
    """
    inside = result[tile.halo :, tile.halo :]
    output[tile.area] = inside[: tile.rows, : tile.columns]


def _split(length, largest, stride):
    """Return the starts and the common length of parts no longer than ``largest``."""
    largest = max(largest // stride * stride, stride)
    parts = -(-length // largest)
    step = _round_up(-(-length // parts), stride)
    return range(0, length, step), step


def _round_up(value, multiple):
    return -(-value // multiple) * multiple


def _reflect(index, length):
    """
    Map indices beyond an axis back into it, repeating the edge pixel.

    With it repeated, the outermost pixels are scored nearly as well as by the
    network's own padding and better than without (benchmarks/frame_edges.py).
    """
    index = index % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)
