# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Point spread functions, from undersampled diffraction to seeing, and their use."""

import math
from dataclasses import dataclass

import torch

from ._fields import add_stamps, pixel_grid, rotated
from ._random import per_frame

__all__ = ["PSF", "draw_psf"]

# Samples per pixel of the templates; stars lie on this sub-pixel grid.
OVERSAMPLING = 4
# Templates reach this many pixels from the centre.
REACH = 31
_SIDE = OVERSAMPLING * 2 * (REACH + 1)
# Samples across the pupil of a telescope.
_PUPIL = 64
# Radii of the stamps that stars are cut to, the smallest that does.
_STAMP_RADII = (4, 11, REACH - 1)
# More stamp pixels than this at once would only cost memory.
_MAX_ELEMENTS = 2_000_000
# A pixel fainter than this many sigma of noise need not be drawn.
_NEGLIGIBLE = 0.1


@dataclass(frozen=True)
class PSF:
    """
    Pixel-integrated point spread functions of a batch of frames.

    Two templates a frame stand for the two sides of the field: a star takes one or
    the other by where it is, which is how the PSF varies in space.

    Attributes
    ----------
    templates : `torch.Tensor`
        Shape (B, 2, M, M), sampled `OVERSAMPLING` times per pixel and integrated
        over a pixel: every ``OVERSAMPLING``-th sample is the light in a pixel.
    envelope : `torch.Tensor`
        Shape (B, R): the largest value beyond each stamp radius.
    """

    templates: torch.Tensor
    envelope: torch.Tensor

    @property
    def peak(self):
        """Largest fraction of a star's light in one pixel, for each frame."""
        return self.templates[:, 0].amax(dim=(1, 2))

    @property
    def wing(self):
        """Mean of each template in a ring just before its end, and its radius."""
        radius = torch.hypot(*_offsets(self.templates.device))
        start = 0.7 * REACH
        ring = ((radius - start).abs() < 1).float()
        return (self.templates[:, 0] * ring).sum(dim=(1, 2)) / ring.sum(), start

    def add_points(self, images, points, sigma):
        """
        Add point sources to images, in place.

        Parameters
        ----------
        images : `torch.Tensor`
            Batch of shape (B, H, W).
        points : tuple of `torch.Tensor`
            Frame, row, column (fractional, pixel centres are whole) and flux.
        sigma : `torch.Tensor`
            Noise of each frame: what is far below it is not drawn.
        """
        frame, row, column, flux = points
        side = (column / images.shape[2] * 4 + frame % 4) % 2 > 1
        faintest = _NEGLIGIBLE * sigma[frame] / flux
        needed = (self.envelope[frame] > faintest[:, None]).sum(1)
        needed = needed.clamp_max(len(_STAMP_RADII) - 1)
        for tier, radius in enumerate(_STAMP_RADII):
            members = torch.nonzero(needed == tier)[:, 0]
            for part in members.split(max(1, _MAX_ELEMENTS // (2 * radius + 1) ** 2)):
                stamps = self._stamps(
                    frame[part], side[part].long(), row[part], column[part], radius
                )
                add_stamps(
                    images,
                    frame[part],
                    row[part].round().long(),
                    column[part].round().long(),
                    stamps * per_frame(flux[part]),
                )

    def _stamps(self, frame, side, row, column, radius):
        """Cut the stamp of each star at its sub-pixel position."""
        steps = torch.arange(-radius, radius + 1, device=row.device) * OVERSAMPLING
        first_row, first_column = (
            _SIDE // 2 - ((x - x.round()) * OVERSAMPLING).round().long()
            for x in (row, column)
        )
        rows = ((frame * 2 + side) * _SIDE + first_row)[:, None] + steps
        columns = first_column[:, None] + steps
        flat = rows[:, :, None] * _SIDE + columns[:, None, :]
        return self.templates.reshape(-1)[flat]

    def convolve(self, images):
        """Convolve images (B, H, W) with the PSF of their frame; edges reflect."""
        pad = min(REACH, min(images.shape[1:]) - 1)
        images = torch.nn.functional.pad(images[:, None], [pad] * 4, mode="reflect")
        images = images[:, 0]
        size = images.shape[1:]
        start = _SIDE // 2 - pad * OVERSAMPLING
        cut = slice(start, start + (2 * pad + 1) * OVERSAMPLING, OVERSAMPLING)
        kernel = self.templates[:, 0, cut, cut]
        kernel = kernel / kernel.sum(dim=(1, 2), keepdim=True)
        product = torch.fft.rfft2(images) * torch.fft.rfft2(kernel, s=size)
        return torch.fft.irfft2(product, s=size)[:, 2 * pad :, 2 * pad :]


def draw_psf(rng, *, space=None):
    """
    Draw a point spread function for each frame.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    space : `torch.Tensor` of bool, optional
        Which frames are limited by diffraction rather than seeing; drawn if `None`.

    Returns
    -------
    psf : `PSF`
        The templates of all frames.
    """
    space = rng.chance(0.5) if space is None else space
    space = space & ~rng.chance(0.1)  # many simulations know but the Gaussian there
    templates = torch.empty(rng.n, 2, _SIDE, _SIDE, device=rng.device)
    for kind, make in ((space, _diffraction), (~space, _seeing)):
        frames = torch.nonzero(kind)[:, 0]
        if len(frames):
            templates[frames] = make(rng.many(len(frames)))
    templates *= _taper(torch.hypot(*_offsets(rng.device)))
    # A pixel collects OVERSAMPLING**2 samples; their sum over all pixels is one.
    templates /= templates.sum(dim=(2, 3), keepdim=True) / OVERSAMPLING**2
    return PSF(templates, _envelope(templates))


def _offsets(device):
    """Distances from the centre in pixels, as a column and a row."""
    rows, columns = pixel_grid((_SIDE, _SIDE), device)
    return (rows - _SIDE // 2) / OVERSAMPLING, (columns - _SIDE // 2) / OVERSAMPLING


def _taper(radius):
    """Let the wings end softly in a circle: bright stars must not show a square."""
    return ((REACH - 0.5 - radius) / (0.25 * REACH)).clamp(0, 1)


def _envelope(templates):
    """Largest value beyond each stamp radius: how large a stamp a star needs."""
    dy, dx = _offsets(templates.device)
    radius = torch.maximum(dy.abs(), dx.abs())
    both = templates.amax(dim=1)
    return torch.stack(
        [(both * (radius > r)).amax(dim=(1, 2)) for r in _STAMP_RADII], dim=1
    )


def _seeing(rng):
    """Elliptical Moffat profiles with an aureole; the two sides differ a bit."""
    # Some have no wings at all: the Gaussian stars of many other simulations, ...
    wingless = rng.chance(0.25)
    # ... half of which take what it is in the middle of a pixel for its mean.
    sampled = per_frame((wingless & rng.chance(0.5))[:, None])
    narrowest, widest = torch.where(wingless, 1.6, 1.2), torch.where(wingless, 4.0, 8.0)
    fwhm = rng.log_uniform(narrowest, widest)[:, None]
    fwhm = per_frame(fwhm * rng.uniform(0.93, 1.07, 2))
    wingless = per_frame(wingless[:, None])
    beta = per_frame(rng.log_uniform(2.0, 6.0)[:, None])
    beta = torch.where(wingless, 60.0, beta)
    squeeze = rng.uniform(0, 1)[:, None] ** 3 * 0.35 + rng.uniform(0, 0.06, 2)
    angle = rng.uniform(0, math.pi)[:, None] + rng.normal(0.3, 2)
    along, across = rotated(*_offsets(rng.device), per_frame(angle))
    r2 = along**2 * (1 - per_frame(squeeze)) + across**2 / (1 - per_frame(squeeze))
    core2 = (fwhm / 2) ** 2 / (2 ** (1 / beta) - 1)
    templates = (1 + r2 / core2) ** -beta
    # The aureole: real seeing profiles end in wings flatter than their core's.
    aureole = per_frame(rng.log_uniform(1e-3, 1e-2)[:, None])
    templates += aureole * ~wingless * (1 + r2 / (9 * core2)) ** -1.5
    means = _integrate(templates, torch.zeros(rng.n, device=rng.device))
    return torch.where(sampled, templates, means)


def _diffraction(rng):
    """Images of an aberrated, obscured pupil with spider, at two wavelengths."""
    # Cameras with a wide field often undersample.
    widest = torch.where(rng.chance(0.3), 1.5, 3.0)
    fwhm = rng.log_uniform(0.7 + 0 * widest, widest)
    bandwidth = rng.uniform(0.05, 0.25)
    pupil = _Pupil(rng)
    intensity = 0.0
    for colour in (-0.5, 0.5):
        wave = 1 + colour * bandwidth
        image = _fraunhofer(pupil.amplitude(1 / wave), fwhm * wave)
        intensity = intensity + image / image.sum(dim=(2, 3), keepdim=True)
    return _integrate(intensity, rng.log_uniform(0.1, 0.5))


def _fraunhofer(amplitude, scale):
    """Far-field intensity of a pupil, lambda/D being ``scale`` pixels: a direct DFT."""
    image, _ = _offsets(amplitude.device)
    pupil = (torch.arange(_PUPIL, device=image.device) + 0.5) / _PUPIL - 0.5
    phase = 2 * math.pi * image * pupil / per_frame(scale)
    matrix = torch.polar(torch.ones_like(phase), phase)[:, None]
    field = matrix @ amplitude @ matrix.mT
    return field.real**2 + field.imag**2


class _Pupil:
    """Aperture and wave front of telescopes in space, and with adaptive optics."""

    def __init__(self, rng):
        self.obscuration = per_frame(rng.uniform(0, 0.42))
        self.hexagonal = per_frame(rng.chance(0.15))
        vanes = rng.integers(0, 3)
        self.arms = torch.tensor([4, 4, 3], device=rng.device)[vanes]
        self.vane_width = per_frame(rng.uniform(0.0, 0.04))
        self.angle = rng.uniform(0, math.pi)
        # Waves RMS of Zernike terms: focus, astigmatism, coma, trefoil, spherical.
        strength = rng.log_uniform(0.005, 0.055)
        common = rng.normal(1.0, 1, 8) * strength[:, None, None]
        varying = rng.normal(0.35, 2, 8) * strength[:, None, None]
        self.zernike = common + varying
        side = (torch.arange(_PUPIL, device=rng.device) + 0.5) / _PUPIL * 2 - 1
        self.y, self.x = side[None, :, None], side[None, None, :]

    def amplitude(self, phase_scale):
        """Complex amplitude for both sides of the field, (B, 2, S, S)."""
        y, x, half = self.y, self.x, _PUPIL / 2
        radius2 = x**2 + y**2
        outer = torch.where(self.hexagonal, _hexagon(y, x), radius2.sqrt())
        aperture = ((1 - outer) * half + 0.5).clamp(0, 1)
        aperture *= ((radius2.sqrt() - self.obscuration) * half + 0.5).clamp(0, 1)
        aperture = aperture * self._spider(y, x, half)
        phase = self._phase(y, x, radius2) * per_frame(phase_scale)[:, None]
        return torch.polar(aperture[:, None].expand_as(phase).contiguous(), phase)

    def _spider(self, y, x, half):
        """Transmission of three or four vanes, also of those thinner than a sample."""
        clear = torch.ones_like(x + y)
        for arm in range(4):
            angle = self.angle + 2 * math.pi * arm / self.arms
            along, across = rotated(y, x, per_frame(angle))
            width = self.vane_width / 2
            cover = ((width - across.abs()) * half + 0.5).clamp(0, 1)
            cover = torch.minimum(cover, 2 * width * half)
            clear = clear * (1 - cover * (along > 0))
        return clear

    def _phase(self, y, x, r2):
        """Wave front in radians for both sides of the field."""
        terms = torch.stack(
            [
                3**0.5 * (2 * r2 - 1),
                6**0.5 * (x**2 - y**2),
                6**0.5 * 2 * x * y,
                8**0.5 * (3 * r2 - 2) * x,
                8**0.5 * (3 * r2 - 2) * y,
                8**0.5 * (x**2 - 3 * y**2) * x,
                8**0.5 * (3 * x**2 - y**2) * y,
                5**0.5 * (6 * r2**2 - 6 * r2 + 1),
            ],
        )[:, 0]
        return 2 * math.pi * torch.einsum("bsz,zyx->bsyx", self.zernike, terms)


def _hexagon(y, x):
    """Distance from the centre that is one on the sides of a regular hexagon."""
    third = (x.abs() * 0.5 + y.abs() * 3**0.5 / 2) / (3**0.5 / 2)
    return torch.maximum(x.abs() / (3**0.5 / 2), third)


def _integrate(templates, blur):
    """Collect light over a pixel, after a Gaussian blur (jitter and diffusion, px)."""
    offset = torch.arange(-OVERSAMPLING * 3, OVERSAMPLING * 3 + 1) / OVERSAMPLING
    offset = offset.to(templates.device)
    width = blur.clamp_min(0.02)[:, None] * 2**0.5
    kernel = torch.erf((offset + 0.5) / width) - torch.erf((offset - 0.5) / width)
    kernel = kernel / kernel.sum(1, keepdim=True)
    lag = torch.arange(_SIDE, device=templates.device)
    lag = lag[:, None] - lag[None, :] + len(offset) // 2
    near = (lag >= 0) & (lag < len(offset))
    matrix = torch.where(near, kernel[:, lag.clamp(0, len(offset) - 1)], 0.0)[:, None]
    return matrix @ templates @ matrix.mT
