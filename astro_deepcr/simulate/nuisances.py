# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What detectors and processing add to a scene: things that are no cosmic rays."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from ._fields import pixel_grid, power_law_field, rotated
from ._random import per_frame

__all__ = [
    "Resampling",
    "bleed",
    "cut_skirts",
    "detector_defects",
    "optics",
    "sharp_tracks",
    "strike_stars",
    "transfer_trails",
]

# Mean length of sharp tracks, in pixels, and how many hit a single one.
_SHARP_MEAN, _SINGLE_HITS = 8, 0.3
# Hits on stars: at most one in so many pixels of a frame, of this many sigma at least,
# with the brightest pixel at most this far from the star along each axis.
_STRUCK_AREA, _STRUCK_PEAK, _STRUCK_OFFSET = 2000, 5.0, 2


def optics(rng, light, sigma):
    """
    Let light pass through imperfect optics: vignetting, flat-field errors, streaks.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    light : (B, H, W) `torch.Tensor`
        Expected electrons.
    sigma : (B,) `torch.Tensor`
        Noise of the background, which streaks are compared with.

    Returns
    -------
    light : (B, H, W) `torch.Tensor`
        The same, changed.
    """
    light = light + _streak(rng, light.shape[1:], sigma)
    return light * _vignetting(rng, light.shape[1:]) * _flat_residuals(rng, light)


def _streak(rng, shape, sigma):
    """A satellite or an aeroplane, in a few frames."""
    frames = torch.nonzero(rng.chance(0.04))[:, 0]
    light = torch.zeros(rng.n, *shape, device=rng.device)
    some = rng.many(len(frames))
    rows, columns = pixel_grid(shape, rng.device)
    dy = rows - per_frame(some.uniform(0.1, 0.9) * shape[0])
    dx = columns - per_frame(some.uniform(0.1, 0.9) * shape[1])
    along, across = rotated(dy, dx, per_frame(some.uniform(0, math.pi)))
    width = per_frame(some.log_uniform(0.8, 6.0))
    tumble = 1 + per_frame(some.uniform(0, 0.7) * some.chance(0.3)) * torch.cos(
        along / per_frame(some.log_uniform(5, 100))
    )
    peak = per_frame(sigma[frames] * some.log_uniform(0.5, 100))
    light[frames] = peak * tumble * torch.exp(-0.5 * (across / width) ** 2)
    return light


def _vignetting(rng, shape):
    """Throughput that falls away from the axis, and steps between amplifiers."""
    rows, columns = pixel_grid(shape, rng.device)
    y = rows / shape[0] - per_frame(rng.uniform(-0.7, 1.7))
    x = columns / shape[1] - per_frame(rng.uniform(-0.7, 1.7))
    fall = per_frame(rng.chance(0.2) * rng.uniform(0, 0.15))
    throughput = (1 - fall * (y**2 + x**2)).clamp_min(0.2)
    step = per_frame(rng.chance(0.1) * rng.normal(0.02))
    edge = per_frame(rng.uniform(0.1, 0.9) * shape[1])
    return throughput * torch.where(columns > edge, 1 + step, 1.0)


def _flat_residuals(rng, light):
    """Uneven pixels and columns that flat-fielding has left."""
    pixels = per_frame(rng.chance(0.5) * rng.log_uniform(0.0005, 0.02))
    columns = per_frame(rng.chance(0.2) * rng.log_uniform(0.0005, 0.01))
    uneven = 1 + pixels * rng.normal(1.0, *light.shape[1:])
    uneven = uneven + columns * rng.normal(1.0, 1, light.shape[2])
    return uneven.clamp_min(0)


def detector_defects(rng, light, sigma):
    """
    Add hot, warm, weak and dead pixels and bad columns.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    light : (B, H, W) `torch.Tensor`
        Expected electrons.
    sigma : (B,) `torch.Tensor`
        Noise of the background, which hot pixels are compared with.

    Returns
    -------
    light : (B, H, W) `torch.Tensor`
        Expected electrons with the defects.
    bad : (B, H, W) `torch.Tensor` of bool
        Pixels that a careful observer would have in a bad-pixel mask.
    """
    shape = light.shape[1:]
    hot = _hot_pixels(rng, shape) * per_frame(sigma)
    weak = per_frame(rng.chance(0.4) * rng.log_uniform(1e-5, 3e-3))
    weak = rng.uniform(0, 1, *shape) < weak
    column_light, column_gain = _bad_columns(rng, shape)
    column_light = column_light * per_frame(sigma)
    gain = torch.where(weak, per_frame(rng.uniform(0, 0.8)), 1.0) * column_gain
    bad = weak | (hot > 10 * per_frame(sigma)) | (column_light > 0) | (column_gain < 1)
    return light * gain + hot + column_light, bad


def _hot_pixels(rng, shape):
    """Excess dark current in units of the noise: many warm, few hot pixels."""
    # Where they are many, the frame tells that they are no cosmic rays. A single one
    # among few looks like a hit, and observers have it in their bad-pixel mask.
    many = rng.chance(0.85)
    density = torch.where(
        many, rng.log_uniform(2e-3, 0.05), rng.log_uniform(1e-5, 2e-3)
    )
    density = rng.chance(0.25) * density
    counts = rng.poisson(density * math.prod(shape))
    frame, each = rng.scatter(counts)
    steep = rng.uniform(1.5, 2.5)[frame]
    flux = each.power_law(steep, rng.uniform(1, 6)[frame], 2e3 + 0 * steep)
    place = each.integers(0, math.prod(shape))
    image = torch.zeros(rng.n, math.prod(shape), device=rng.device)
    image[frame, place] = flux
    # Some defects are shared by two neighbours.
    paired = each.chance(0.08)
    next_one = (place + 1).clamp_max(math.prod(shape) - 1)
    image[frame[paired], next_one[paired]] = (flux * each.uniform(0.1, 1))[paired]
    return image.view(rng.n, *shape)


def _bad_columns(rng, shape):
    """Light (in sigma) and sensitivity of columns that are bright or dark."""
    counts = rng.chance(0.15) * rng.integers(1, 5)
    frame, each = rng.scatter(counts)
    column = each.integers(0, shape[1])
    rows, _ = pixel_grid(shape, rng.device)
    first = per_frame(each.uniform(-1, 0.9) * shape[0])[:, 0]
    below = rows[:, 0] > first
    bright = each.chance(0.6)[:, None]
    light = torch.zeros(rng.n, *shape, device=rng.device)
    gain = torch.ones(rng.n, *shape, device=rng.device)
    light[frame, :, column] = below * bright * each.log_uniform(0.3, 100)[:, None]
    loss = (below & ~bright) * each.uniform(0.02, 1)[:, None]
    gain[frame, :, column] = 1 - loss
    return light, gain


def sharp_tracks(rng, charge, event_id, sigma):
    """
    Add straight tracks that no diffusion has widened, one pixel wide, to some frames.

    Thin detectors with large pixels come near, simpler simulations draw them so, and
    what falls straight down hits a single pixel.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    charge, event_id : (B, H, W) `torch.Tensor`
        Of the cosmic rays that there are already.
    sigma : (B,) `torch.Tensor`
        Noise of the background, which the tracks are compared with.

    Returns
    -------
    charge, event_id : (B, H, W) `torch.Tensor`
        New ones.
    """
    charge, event_id = charge.clone(), event_id.clone()
    height, width = charge.shape[1:]
    share = rng.chance(0.25) * rng.log_uniform(1e-3, 0.03)
    frame, tracks = rng.scatter(rng.poisson(share * height * width / _SHARP_MEAN))
    length = tracks.log_uniform(1, 40).round()
    length = torch.where(tracks.chance(_SINGLE_HITS), 1.0, length)
    angle = torch.where(
        tracks.chance(0.35),
        tracks.integers(0, 4) * (math.pi / 4),
        tracks.uniform(0, math.pi),
    )
    step = torch.stack([torch.sin(angle), torch.cos(angle)])
    step = step / step.abs().amax(dim=0)  # one pixel along the longer axis
    start = torch.stack([tracks.uniform(0, height), tracks.uniform(0, width)])
    peak = sigma[frame] * tracks.log_uniform(3, 1000)
    uneven = tracks.chance(0.6) * tracks.uniform(0, 0.7)
    track, pixels = tracks.scatter(length)
    first = torch.repeat_interleave(torch.cumsum(length, 0) - length, length.long())
    index = torch.arange(len(track), device=rng.device) - first
    row, column = (start[:, track] + index * step[:, track]).floor().long()
    value = peak[track] * torch.exp(uneven[track] * pixels.normal(1.0))
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = (frame[track][inside], row[inside], column[inside])
    charge.index_put_(place, value[inside], accumulate=True)
    number = event_id.max() + track + 1
    event_id[place] = number[inside].to(event_id.dtype)
    return charge, event_id


def strike_stars(rng, charge, event_id, stars, sigma, share):
    """
    Put copies of the cosmic rays of a frame on its stars.

    By chance few stars are hit in sparse fields, and what tells the star from the hit
    is hardly to be learnt.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    charge, event_id : (B, H, W) `torch.Tensor`
        Of the cosmic rays that there are already.
    stars : (N, 3) `torch.Tensor`
        Frame, row and column of stars.
    sigma : (B,) `torch.Tensor`
        Noise of the background; fainter cosmic rays are not copied.
    share : float
        Of the stars that are hit; fewer where they are many.

    Returns
    -------
    charge, event_id : (B, H, W) `torch.Tensor`
        New ones.
    """
    height, width = charge.shape[1:]
    pixels, value, size, centre = _list_events(charge, event_id)
    first = size.cumsum(0) - size
    seen = value[centre] > _STRUCK_PEAK * sigma[pixels[centre, 0]]
    # Those that can be seen, frame after frame.
    events = torch.nonzero(seen)[:, 0]
    owner = pixels[centre[events], 0]
    events = events[torch.argsort(owner, stable=True)]
    number = torch.bincount(owner, minlength=rng.n)
    many = torch.bincount(stars[:, 0], minlength=rng.n).clamp_min(1)
    chance = (height * width / _STRUCK_AREA / many).clamp_max(share)
    chosen = rng.many(len(stars)).chance(chance[stars[:, 0]])
    stars = stars[chosen & (number[stars[:, 0]] > 0)]
    hits, frame = rng.many(len(stars)), stars[:, 0]
    which = (hits.uniform() * number[frame]).long().clamp_max(number[frame] - 1)
    which = events[(number.cumsum(0) - number)[frame] + which]
    offset = hits.integers(-_STRUCK_OFFSET, _STRUCK_OFFSET + 1, 2)
    shift = stars[:, 1:] + offset - pixels[centre[which], 1:]
    hit, copies = hits.scatter(size[which])
    start = size[which].cumsum(0) - size[which]
    source = torch.arange(copies.n, device=rng.device) + (first[which] - start)[hit]
    row, column = (pixels[source, 1:] + shift[hit]).T
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = (frame[hit][inside], row[inside], column[inside])
    charge, event_id = charge.clone(), event_id.clone()
    event_id[place] = event_id.max() + 1 + hit[inside]
    charge.index_put_(place, value[source][inside], accumulate=True)
    return charge, event_id


def _list_events(charge, event_id):
    """Hit pixels event after event, their charge, sizes of events, brightest pixels."""
    pixels = torch.nonzero(event_id)
    _, event = torch.unique(event_id[tuple(pixels.T)], return_inverse=True)
    pixels, event = pixels[torch.argsort(event, stable=True)], event.sort().values
    value, size = charge[tuple(pixels.T)], torch.bincount(event)
    peak = torch.zeros(len(size), device=charge.device)
    peak.scatter_reduce_(0, event, value, "amax")
    at_peak = torch.nonzero(value == peak[event])[:, 0]
    centre = torch.zeros_like(size)
    centre[event[at_peak]] = at_peak  # any of several that are as bright
    return pixels, value, size, centre


def cut_skirts(rng, charge, event_id, sigma):
    """
    Cut away the faint pixels of the cosmic rays, in some frames.

    Real cosmic rays that were pasted on other frames end so: at the mask with which
    they were found, or where they sank in the noise of the frame they came from.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    charge, event_id : (B, H, W) `torch.Tensor`
        Of all cosmic rays.
    sigma : (B,) `torch.Tensor`
        Noise of the background, which the charge is compared with.

    Returns
    -------
    charge, event_id : (B, H, W) `torch.Tensor`
        New ones.
    """
    least = rng.chance(0.25) * rng.log_uniform(0.5, 5.0) * sigma
    kept = charge >= per_frame(least)
    return charge * kept, event_id * kept


def bleed(light, full_well):
    """
    Spill charge above the full well along columns, half of it each way.

    Parameters
    ----------
    light : (B, H, W) `torch.Tensor`
        Electrons.
    full_well : (B,) `torch.Tensor`
        Electrons that a pixel holds.

    Returns
    -------
    light : (B, H, W) `torch.Tensor`
        Electrons, nowhere above the full well; what reaches the edge is lost.
    """
    frames = torch.nonzero(light.amax(dim=(1, 2)) > full_well)[:, 0]
    if not len(frames):
        return light
    light = light.clone()
    part, limit = light[frames], per_frame(full_well[frames])
    excess = (part - limit).clamp_min(0)
    part = torch.minimum(part, limit)
    part = _spill(part, excess / 2, limit)
    part = _spill(part.flip(1), excess.flip(1) / 2, limit).flip(1)
    light[frames] = part
    return light


def _spill(light, excess, limit):
    """Carry charge towards higher rows until pixels with room have taken it."""
    # The charge still carried after each row follows Lindley's recursion
    # q = max(0, q + excess - room), which cumulative sums and minima solve at once.
    balance = (excess - (limit - light)).double().cumsum(1)
    carried = balance - balance.cummin(1).values.clamp_max(0)
    before = functional.pad(carried, (0, 0, 1, 0))[:, :-1]
    return light + (before + excess - carried).float()


def transfer_trails(rng, images):
    """
    Trail charge behind bright pixels, as imperfect transfer does, in some frames.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    images : list of (B, H, W) `torch.Tensor`
        All trailed alike: the light and the charge of cosmic rays.

    Returns
    -------
    images : list of (B, H, W) `torch.Tensor`
        With trails; the total charge stays.
    """
    lost = rng.chance(0.15) * rng.log_uniform(0.002, 0.08)
    frames = torch.nonzero(lost)[:, 0]
    if not len(frames):
        return images
    reach = 24
    steps = torch.arange(1, reach + 1, device=rng.device)
    scale = rng.log_uniform(1.5, 10.0)[frames]
    kernel = torch.exp(-steps / scale[:, None])
    kernel = lost[frames, None] * kernel / kernel.sum(1, keepdim=True)
    kernel = torch.cat([1 - lost[frames, None], kernel], dim=1)
    trailed = []
    for image in images:
        image = image.clone()
        padded = functional.pad(image[frames], (0, 0, reach, 0))
        image[frames] = functional.conv2d(
            padded[None], kernel.flip(1)[:, None, :, None], groups=len(frames)
        )[0]
        trailed.append(image)
    return trailed


@dataclass(frozen=True)
class Resampling:
    """
    Interpolation of some frames onto a slightly different grid.

    Parameters
    ----------
    frames : (N,) `torch.Tensor`
        Which frames of a batch.
    rows, columns : (N, S, S) `torch.Tensor`
        Weights of the old in the new rows and columns.
    """

    frames: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def draw(cls, rng, shape, probability=0.1):
        """Draw shifts below one pixel that vary a little over the frame."""
        frames = torch.nonzero(rng.chance(probability))[:, 0]
        some = rng.many(len(frames))
        return cls(frames, *(_interpolation(some, size) for size in shape))

    def apply(self, images):
        """Resample images (B, H, W)."""
        return self._weighted(images, self.rows, self.columns)

    def apply_variance(self, variance):
        """Carry the variance of independent pixels along."""
        return self._weighted(variance, self.rows**2, self.columns**2)

    def _weighted(self, images, rows, columns):
        if not len(self.frames):
            return images
        images = images.clone()
        images[self.frames] = rows @ images[self.frames] @ columns.mT
        return images


def _interpolation(rng, size):
    """Linear or cubic interpolation along one axis as matrices, (n, size, size)."""
    first, last = rng.uniform()[:, None], rng.uniform()[:, None]
    place = torch.arange(size, device=rng.device)
    shift = first + (last - first) * place / size
    lag = place[None, None, :] - (place + shift)[..., None]
    distance = lag.abs()
    linear = (1 - distance).clamp_min(0)
    # Cubic convolution with a = -1/2 (Keys 1981).
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    cubic = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    weights = torch.where(rng.chance(0.5)[:, None, None], linear, cubic)
    return weights / weights.sum(2, keepdim=True)


def readout_pattern(rng, shape, read_noise):
    """Offsets that carry no photon noise: steps of amplifiers, rows, columns, waves."""
    columns = pixel_grid(shape, rng.device)[1]
    edge = per_frame(rng.uniform(0.1, 0.9) * shape[1])
    step = per_frame(rng.chance(0.15) * rng.normal(1.0))
    pattern = step * (columns > edge)
    rows = per_frame(rng.chance(0.1) * rng.log_uniform(0.05, 0.5))
    pattern = pattern + rows * rng.normal(1.0, shape[0], 1)
    stripes = per_frame(rng.chance(0.1) * rng.log_uniform(0.05, 0.5))
    pattern = pattern + stripes * rng.normal(1.0, 1, shape[1])
    frames = torch.nonzero(rng.chance(0.1))[:, 0]
    if len(frames):
        some = rng.many(len(frames))
        waves = power_law_field(some, shape, some.uniform(0.5, 2.0))
        pattern[frames] += per_frame(some.log_uniform(0.05, 0.4)) * waves
    return pattern * per_frame(read_noise)
