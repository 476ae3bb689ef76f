# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The numbers that a training is told."""

from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real

import numpy as np
from astropy import units as u

from ..noise import NORMALIZATIONS

__all__ = ["TrainingConfig", "check_about", "check_keys"]

# Limits of the numbers: name -> lowest, highest.
_LIMITS = {
    "steps": (1, 10**9),
    "batch_size": (1, 10**5),
    "crop": (16, 10**5),
    "learning_rate": (0, 10),
    "warmup": (0, 1),
    "weight_decay": (0, 1),
    "clip": (0, 10**6),
    "average": (0, 1),
    "dice": (0, 100),
    "dice_until": (0, 1),
    "teacher": (0, 1),
    "jitter": (0, 1),
    "seed": (0, 2**63),
    "validation_size": (1, 10**6),
    "validation_fraction": (0, 0.9),
    "validate_every": (1, 10**9),
    "patience": (1, 10**9),
    "save_every": (1, 10**9),
}
_PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainingConfig:
    """
    How a training goes; all of it can be passed to `fit` by name.

    Parameters
    ----------
    steps : int
        Number of steps of the optimiser.
    batch_size, crop : int
        Cut-outs in a step, and their rows and columns.
    learning_rate : float
        The largest: reached after the part ``warmup`` of the steps, and taken down
        to nearly 0 along a cosine.
    warmup : float
        Part of the steps.
    weight_decay : float
        Of AdamW.
    clip : float
        Largest norm of the gradient.
    average : float
        Decay of the moving average of the weights, which is what is kept.
    dice, dice_until : float
        Factor of the Dice loss, and the part of the steps that have it; the rest has
        cross-entropy alone.
    teacher : float
        Share of the target that is what the weights of the start say, looking at each
        cut-out in two of eight orientations; the rest, and all in pixels that count
        more than once, is the truth. Only for masks.
    jitter : float
        Standard deviation of the errors that the measured sky (in units of the
        noise) and noise (relative) are given.
    reparametrize : bool
        Whether kernels get more parameters while they are trained, see
        `~astro_deepcr.models.reparametrize`.
    precision : {'auto', 'float32', 'bfloat16'}
        'auto' is bfloat16 where the device is fast with it.
    seed : int
        Of all randomness.
    validation_size : int
        Number of validation cut-outs.
    validation_fraction : float
        Part of the frames that is held out where there are no validation data.
    validate_every : int
        Steps between validations.
    patience : int or None
        Training stops after so many validations without a better one.
    save_every : int
        Steps between checkpoints.

    Raises
    ------
    TypeError, ValueError
        If a number is of the wrong kind or size.

    Examples
    --------
    >>> from astro_deepcr.training import TrainingConfig
    >>> TrainingConfig(steps=100).warmup
    0.05
    """

    steps: int = 5000
    batch_size: int = 16
    crop: int = 128
    learning_rate: float = 4e-3
    warmup: float = 0.05
    weight_decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.999
    dice: float = 0.1
    dice_until: float = 0.3
    teacher: float = 0.0
    jitter: float = 0.05
    reparametrize: bool = True
    precision: str = "auto"
    seed: int = 0
    validation_size: int = 64
    validation_fraction: float = 0.1
    validate_every: int = 500
    patience: int | None = None
    save_every: int = 500

    def __post_init__(self):
        for name, value in plain_values(vars(self)).items():
            object.__setattr__(self, name, value)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _LIMITS and not (
                field.name == "patience" and value is None
            ):
                _check(field.name, value, whole="int" in str(field.type))
        if not isinstance(self.reparametrize, bool):
            msg = f"reparametrize={self.reparametrize!r} must be True or False."
            raise TypeError(msg)
        if self.precision not in _PRECISIONS:
            msg = f"precision={self.precision!r} must be one of {_PRECISIONS}."
            raise ValueError(msg)

    def to_dict(self):
        """Return all as a dictionary."""
        return asdict(self)


def check_keys(where, table, known):
    """Raise an error if a table holds a key that is not known."""
    unknown = sorted(set(table) - set(known))
    if unknown:
        msg = (
            f"{where} holds {', '.join(map(repr, unknown))}, which is not known; "
            f"known are {', '.join(sorted(known))}."
        )
        raise ValueError(msg)


def check_one_for_all(options):
    """Raise ValueError for options of the simulator that hold one for each frame."""
    for name, value in options.items():
        if isinstance(value, (list, tuple)) or np.ndim(value):
            msg = (
                f"{name}={value!r} must be one for all frames, since batches have "
                "different sizes; for several use Mixture([SimulatedFrames(...), ...])."
            )
            raise ValueError(msg)


def plain_values(given):
    """Return a dictionary whose NumPy numbers and arrays are those of Python."""
    kinds = (np.generic, np.ndarray)
    return {k: v.tolist() if isinstance(v, kinds) else v for k, v in given.items()}


def check_about(about):
    """Return what a weights file is to say of itself, of the types that it holds."""
    about = plain_values(about)
    if "instruments" in about:
        given = about["instruments"]
        about["instruments"] = (given,) if isinstance(given, str) else tuple(given)
    known = ("fixed", *NORMALIZATIONS)
    rules = {
        "normalization": (lambda v: v in known, f"one of {', '.join(known)}"),
        "threshold": (lambda v: 0 < v < 1, "between 0 and 1"),
        "scale": (lambda v: 0 < v < np.inf, "a positive number"),
        "unit": (lambda v: v is None or u.Unit(v), "a unit such as 'electron'"),
    }
    for name, (good, wanted) in rules.items():
        try:
            fine = name not in about or good(about[name])
        except (TypeError, ValueError):
            fine = False
        if not fine:
            msg = f"{name}={about[name]!r} of the weights must be {wanted}."
            raise ValueError(msg)
    return about


def _check(name, value, *, whole):
    low, high = _LIMITS[name]
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind):
        msg = f"{name}={value!r} must be a {'whole ' * whole}number."
        raise TypeError(msg)
    if not low <= value <= high:
        msg = f"{name}={value} must be between {low} and {high}."
        raise ValueError(msg)
