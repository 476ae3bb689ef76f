# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How particles lose energy and direction in silicon, on tensors.

Lengths are in um, energies in keV unless a name says MeV. Losses are split at an
energy per collision: the many soft collisions are a process whose sums over pieces
of a path follow the same law (inverse Gaussian), the rare hard ones are drawn one by
one from dN/dT ~ 1/T^2. Together they give the Landau peak and tail, with the extra
width of thin silicon, whatever the pieces are.
"""

import torch

__all__ = []

PAIR_ENERGY = 3.65e-3  # keV per electron-hole pair
ELECTRON_MASS = 511.0
MASSES_MEV = (105.66, 938.27, 931.5, 931.5, 0.511)  # along KINDS, per nucleon
MEAN_EXCITATION = 0.173
RADIATION_LENGTH = 93_700.0
# range of an electron of 1 MeV, and the slope of the logarithm of range over energy
ELECTRON_RANGE = 2380.0
RANGE_LINEAR = 1.346
RANGE_SQUARE = 0.0546

# Of a minimum-ionising particle, per um
MIN_IONISING_BETA2 = 0.925
LANDAU_WIDTH = 0.019
SOFT_LOSS = 0.219
DENSITY_EFFECT = 0.5  # makes the Bethe loss at the split energy SOFT_LOSS
# binding of the atomic electrons broadens the loss beyond Landau's law
SOFT_VARIANCE = 0.06

SPLIT_ENERGY = 1.0  # between soft and hard collisions of a minimum-ionising particle
LARGEST_SPLIT = 20.0
LARGEST_TRANSFER = 2000.0
RANGE_POWER = 1.77  # range ~ energy^1.77 (Bragg and Kleeman)


def momentum2(energy_mev, mass_mev):
    """(beta gamma)^2 of a kinetic energy."""
    gamma = 1 + energy_mev / mass_mev
    return gamma**2 - 1


def _soft_loss(width, bg2, split):
    """Mean loss per um in collisions below a split energy (restricted Bethe loss)."""
    beta2 = bg2 / (1 + bg2)
    logarithm = torch.log(2 * ELECTRON_MASS * bg2 * split / MEAN_EXCITATION**2)
    return width * (logarithm - (1 + DENSITY_EFFECT) * beta2).clamp(min=1.0)


def collisions(charge_number, bg2):
    """
    Describe the losses of a heavy charged particle per um.

    Returns
    -------
    mean, variance : `torch.Tensor`
        Of the soft losses.
    number : `torch.Tensor`
        Of hard collisions.
    lowest, highest : `torch.Tensor`
        Energies of the hard collisions.
    """
    # the density effect cancels nearly all of the rise beyond minimum ionisation
    bg2 = bg2.clamp(max=MIN_IONISING_BETA2 / (1 - MIN_IONISING_BETA2))
    beta2 = bg2 / (1 + bg2)
    width = charge_number**2 * MIN_IONISING_BETA2 / beta2
    highest = (2 * ELECTRON_MASS * bg2).clamp(max=LARGEST_TRANSFER)
    lowest = (SPLIT_ENERGY * width).clamp(max=LARGEST_SPLIT).minimum(highest / 4)
    xi = LANDAU_WIDTH * width
    mean = _soft_loss(xi, bg2, lowest)
    variance = SOFT_VARIANCE * width + xi * lowest
    return mean, variance, xi * (1 / lowest - 1 / highest), lowest, highest


def hard_transfers(rng, lowest, highest):
    """Draw the energies of hard collisions from dN/dT ~ 1/T^2."""
    return lowest / (1 - rng.uniform() * (1 - lowest / highest))


def inverse_gaussian(rng, mean, variance):
    """Draw positive numbers (Michael, Schucany and Haas 1976)."""
    ratio = variance / mean**2 * rng.normal() ** 2 / 2
    small = mean / (1 + ratio + torch.sqrt(ratio * (2 + ratio)))
    return torch.where(rng.uniform() * (mean + small) <= mean, small, mean**2 / small)


def electron_range(energy):
    """Path length of an electron that slows down continuously (fit to ESTAR)."""
    log = torch.log(energy.clamp(min=1.0) / 1000)
    return ELECTRON_RANGE * torch.exp(log * (RANGE_LINEAR - RANGE_SQUARE * log))


def electron_energy(path):
    """Invert `electron_range`."""
    log = torch.log((path / ELECTRON_RANGE).clamp(min=1e-9))
    root = torch.sqrt((RANGE_LINEAR**2 - 4 * RANGE_SQUARE * log).clamp(min=0))
    return 1000 * torch.exp((RANGE_LINEAR - root) / (2 * RANGE_SQUARE))


def scattering_angle(energy, step, path):
    """
    Width of the multiple scattering of an electron in a step, projected.

    Highland's formula (1975), with the logarithm of the whole path: that of a step
    would leave out what large angles add over many steps.
    """
    total = energy + ELECTRON_MASS
    momentum_speed = energy * (energy + 2 * ELECTRON_MASS) / total
    depth = (path / RADIATION_LENGTH).clamp(min=1e-9)
    correction = (1 + 0.038 * torch.log(depth)).clamp(min=0.3)
    angle = 13_600 / momentum_speed.clamp(min=1.0) * correction
    return angle * torch.sqrt(step / RADIATION_LENGTH)
