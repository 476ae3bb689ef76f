# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which pixels are hidden from a network that learns to fill them."""

import math

import torch
from torch.nn import functional

__all__ = ["hide_pixels"]

# Cosmic rays are hidden where their charge is more than so many sigma, ...
_LEAST, _MOST = 0.3, 4.0
# ... the mask is then grown by at most so many pixels.
_GROWTH = 3
# Number and largest size of blocks in frames that have some.
_BLOCKS, _LONGEST = 4, 24


def hide_pixels(frames, generator):
    """
    Choose pixels of simulated frames as masks of cosmic rays and defects do.

    Parameters
    ----------
    frames : `~astro_deepcr.simulate.Frames`
        What is hidden from.
    generator : `torch.Generator`
        On the device of the frames.

    Returns
    -------
    hidden : (B, H, W) `torch.Tensor` of bool
        Pixels whose charge is above some limit, some of them grown, and more of
        other frames; blocks and columns in some frames; all saturated pixels in
        others.
    """
    n, device = len(frames.image), frames.image.device

    def draw(*shape):
        return torch.rand(n, *shape, generator=generator, device=device)

    limit = (_LEAST * (_MOST / _LEAST) ** draw(1, 1)) * frames.sigma
    hidden = frames.charge > limit
    # The light under cosmic rays of another frame: more to learn from each.
    other = hidden.roll(1, 0).flip(-1)
    hidden = hidden | (other & (draw(1, 1) < 0.5))
    hidden = _grow(hidden, (draw() * (_GROWTH + 1)).long() * (draw() < 0.5))
    hidden = hidden | _blocks(hidden.shape, draw)
    return hidden | (frames.saturated & (draw(1, 1) < 0.3))


def _grow(mask, radii):
    """Grow each mask by a number of pixels, corners included every other time."""
    for radius in range(int(radii.max())):
        grown = mask.float()[:, None]
        if radius % 2:
            grown = functional.max_pool2d(grown, 3, 1, 1)
        else:
            along = functional.max_pool2d(grown, (1, 3), 1, (0, 1))
            grown = torch.maximum(
                along, functional.max_pool2d(grown, (3, 1), 1, (1, 0))
            )
        mask = torch.where((radii > radius)[:, None, None], grown[:, 0] > 0, mask)
    return mask


def _blocks(shape, draw):
    """Rectangles, and columns over the whole height."""
    _, height, width = shape
    rows = torch.arange(height, device=draw(1).device)[:, None]
    columns = torch.arange(width, device=rows.device)
    hidden = torch.zeros(shape, dtype=torch.bool, device=rows.device)
    for _ in range(_BLOCKS):
        tall, wide = torch.exp(draw(2) * math.log(_LONGEST)).ceil().T
        tall = torch.where(draw() < 0.25, 2.0 * height, tall)  # a column
        wide = torch.where(tall > height, wide.clamp_max(4), wide)
        top, left = ((draw(2) * 1.1 - 0.05) * torch.tensor([height, width]).to(rows)).T
        top = torch.where(tall > height, 0, top)
        y, x = rows - top[:, None, None], columns - left[:, None, None]
        inside = (y >= 0) & (y < tall[:, None, None])
        inside = inside & (x >= 0) & (x < wide[:, None, None])
        hidden |= inside & (draw(1, 1) < 0.25)
    return hidden
