# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a scene is made of, and the setting that it is drawn for."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch

from .._fields import gradient_field, smooth_field
from .._random import Draws, per_frame
from ..psf import draw_psf

__all__ = ["Layers", "Setting"]


@dataclass(frozen=True)
class Setting:
    """
    What all scenes of a batch must know.

    Parameters
    ----------
    rng : ``Draws``
        Draws for the frames.
    shape : tuple of int
        Rows and columns of each frame.
    sky : (B,) `torch.Tensor`
        Background in electrons per pixel.
    sigma : (B,) `torch.Tensor`
        Noise of the background in electrons.
    full_well : (B,) `torch.Tensor`
        Electrons at which a pixel saturates.
    space : (B,) `torch.Tensor`
        True where the telescope sees no atmosphere.
    """

    rng: Draws
    shape: tuple
    sky: torch.Tensor
    sigma: torch.Tensor
    full_well: torch.Tensor
    space: torch.Tensor

    @cached_property
    def psf(self):
        """Point spread functions of the frames."""
        return draw_psf(self.rng, space=self.space)

    @property
    def area(self):
        """Area in units of a frame of 256 x 256 pixels, that counts refer to."""
        return math.prod(self.shape) / 256**2

    def take(self, frames):
        """Narrow the setting to some of its frames."""
        return Setting(
            self.rng.many(len(frames)),
            self.shape,
            self.sky[frames],
            self.sigma[frames],
            self.full_well[frames],
            self.space[frames],
        )

    def blank(self):
        """Make images without light."""
        return torch.zeros(self.rng.n, *self.shape, device=self.rng.device)

    def background(self):
        """Make the sky: flat, tilted, or with large smooth structure."""
        rng = self.rng
        tilt = per_frame(rng.chance(0.5) * rng.log_uniform(0.003, 0.15))
        wave = per_frame(rng.chance(0.4) * rng.log_uniform(0.002, 0.05))
        sky = 1 + tilt * gradient_field(rng, self.shape)
        sky = sky + wave * smooth_field(rng, self.shape)
        return per_frame(self.sky) * sky.clamp_min(0)

    @property
    def saturating_flux(self):
        """Flux of stars whose brightest pixel is at the full well."""
        return self.full_well / self.psf.peak

    def brightest_flux(self, saturation):
        """Flux that saturates so many times, or whose wings would end visibly."""
        wing, _ = self.psf.wing
        return torch.minimum(saturation * self.saturating_flux, 3 * self.sigma / wing)

    def peak_flux(self, signal_to_noise, frame=None):
        """Flux of stars whose brightest pixel is this many sigma above the sky."""
        flux = self.sigma / self.psf.peak
        return signal_to_noise * (flux if frame is None else flux[frame])


@dataclass
class Layers:
    """
    Light of a batch of frames, in electrons, before it is put together.

    Parameters
    ----------
    detector : (B, H, W) `torch.Tensor`
        Light as the pixels get it.
    extended : (B, H, W) `torch.Tensor`, optional
        Light in front of the optics: still to be convolved with the PSF.
    points : list of tuple of `torch.Tensor`, optional
        Stars, each as frame, row, column and flux.
    cores : list of tuple of `torch.Tensor`, optional
        Frame, row and column of other sharp peaks, such as centres of galaxies.
    """

    detector: torch.Tensor
    extended: torch.Tensor | None = None
    points: list = field(default_factory=list)
    cores: list = field(default_factory=list)

    def render(self, setting):
        """
        Put the light together.

        Returns
        -------
        image : (B, H, W) `torch.Tensor`
            Expected electrons in each pixel.
        cores : (N, 3) `torch.Tensor`
            Frame, row and column of stars and centres of galaxies.
        """
        image = self.detector
        if self.extended is not None:
            image = image + setting.psf.convolve(self.extended)
        image = image.clamp_min(0).contiguous()
        if self.points:
            points = [torch.cat(column) for column in zip(*self.points, strict=True)]
            setting.psf.add_points(image, points, setting.sigma)
            seen = points[3] > setting.peak_flux(3.0, points[0])
            self.cores.append(tuple(column[seen] for column in points[:3]))
        return image, self._all_cores(image)

    def _all_cores(self, image):
        if not self.cores:
            return torch.zeros(0, 3, dtype=torch.long, device=image.device)
        found = [torch.cat(column) for column in zip(*self.cores, strict=True)]
        cores = torch.stack([column.round().long() for column in found], dim=1)
        limits = torch.tensor(image.shape, device=image.device)
        return cores[((cores >= 0) & (cores < limits)).all(dim=1)]
