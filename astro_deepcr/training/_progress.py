# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a person sees of a training."""

from ..exceptions import warn

__all__ = ["Reporter"]

# Reading a loss makes a GPU wait, so that it is not done in every step.
_EVERY = 20


class Reporter:
    """
    Progress bar and TensorBoard log, where they are wanted and installed.

    Parameters
    ----------
    first, last : int
        Steps.
    progress : bool
        Whether to show a bar, on the standard error.
    log_dir : path-like or None
        Where the log goes.
    """

    def __init__(self, first, last, *, progress, log_dir):
        self._bar = _bar(first, last) if progress else None
        self._log = None if log_dir is None else _log(log_dir)

    def step(self, step, loss, rate):
        """Report a step; ``loss`` is a tensor."""
        if self._bar is not None:
            self._bar.update()
        if step % _EVERY == 0 and (self._bar is not None or self._log is not None):
            self._numbers(step, {"train/loss": float(loss), "train/rate": rate})
            if self._bar is not None:
                self._bar.set_postfix(loss=f"{float(loss):.4f}", refresh=False)

    def validation(self, step, metrics):
        """Report what was measured."""
        self._numbers(step, {f"validation/{k}": v for k, v in metrics.items()})
        if self._bar is not None:
            text = ", ".join(f"{k} {v:.4f}" for k, v in metrics.items())
            self._bar.write(f"step {step}: {text}", file=self._bar.fp)

    def _numbers(self, step, numbers):
        if self._log is not None:
            for name, value in numbers.items():
                self._log.add_scalar(name, value, step)

    def close(self):
        """Close the bar and the log."""
        for one in (self._bar, self._log):
            if one is not None:
                one.close()


def _bar(first, last):
    try:
        from tqdm import tqdm
    except ImportError:
        _warn("progress bar", "tqdm")
        return None
    return tqdm(initial=first, total=last, unit="step", mininterval=1)


def _log(log_dir):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _warn("TensorBoard log", "tensorboard")
        return None
    return SummaryWriter(str(log_dir))


def _warn(what, package):
    msg = f"There is no {what}, since {package} is not installed."
    warn(msg)
