# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Train a network, from nothing or from any weights; the whole loop in one page."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel

from ..devices import cpu_threads, has_bfloat16, keep_freed_memory
from ..exceptions import TrainingError
from ..models import build_model, enlarge, fold, model_reach, reparametrize
from ..weights import Weights, get_weights, resolve, save_weights
from ..weights.files import load_state
from ._batch import Batch, InputForm, Key
from ._progress import Reporter
from ._team import gather_team
from .checkpoint import identify, load_checkpoint, save_checkpoint
from .config import TrainingConfig, check_about, check_keys, plain_values
from .mixture import split_data
from .tasks import TASKS, check_channels
from .teacher import soften

__all__ = ["fit"]

# What the finished file may say of itself, in the words of `Weights`.
_ABOUT = (
    *("name", "unit", "normalization", "scale", "threshold", "instruments"),
    *("domain", "license", "reference", "trained_on"),
)
# What weights that are tuned do not take over from those they start with.
_OF_START_ONLY = ("instruments", "domain", "threshold")
# Streams of random numbers that no process of a team has.
_VALIDATION, _FLIPS, _TEACHER = 10_000, 20_000, 30_000
# Steps after which a GPU is asked whether all gradients were finite.
_ASK_EVERY = 50


def fit(
    data,
    output,
    *,
    task="mask",
    start=None,
    architecture=None,
    arguments=None,
    validation=None,
    about=None,
    resume=True,
    device=None,
    progress=False,
    log_dir=None,
    **options,
):
    """
    Train a network that finds cosmic rays or fills pixels, and write its weights file.

    If the training is stopped in any way, the same call goes on from the last
    checkpoint, a file beside ``output``, and on a CPU ends with the same weights.

    Parameters
    ----------
    data : `SimulatedFrames`, `LabelledFrames`, `PastedCosmicRays`, `Mixture` or list
        Where the training data come from. A list of sources is a mixture with equal
        shares; a list of anything else is given to `LabelledFrames`.
    output : path-like
        The file to be written; its name ends in ``.safetensors``.
    task : {'mask', 'inpaint'}, optional
        What is learnt: to find cosmic rays, or what lies under masked pixels, which
        needs `SimulatedFrames` with ``hide=True``. Not used with ``start``.
    start : str, path-like or `~astro_deepcr.weights.Weights`, optional
        Weights to go on from (fine-tuning), with their unit and normalisation. The
        ``learning_rate`` is then smaller by default, and there is no Dice loss.
    architecture : str, optional
        A name of `astro_deepcr.models.ARCHITECTURES`; 'plain-unet' or 'fill-unet' by
        default. Not used with ``start``.
    arguments : dict, optional
        Of the architecture. With ``start``, those that are to be other than there:
        larger or more ``widths``, see `~astro_deepcr.models.enlarge`.
    validation : source or list, optional
        As ``data``. By default the last frames of ``data`` are held out.
    about : dict, optional
        What the file says of itself, in the words of
        `~astro_deepcr.weights.Weights`: ``name``, ``unit``, ``normalization``,
        ``scale``, ``threshold``, ``instruments``, ``domain``, ``license``,
        ``reference``, ``trained_on``.
    resume : bool, optional
        Whether to go on from a checkpoint, if there is one.
    device : str, optional
        `None` means ``astro_deepcr.conf.device``. Started by ``torchrun``, each
        process takes a device of its own and the batch is so many times larger.
    progress : bool, optional
        Whether to show a progress bar (needs tqdm).
    log_dir : path-like, optional
        Directory of a TensorBoard log (needs tensorboard).
    **options
        Those of `TrainingConfig`.

    Returns
    -------
    weights : `~astro_deepcr.weights.Weights`
        Of the best validation: with calibrated probability, `operating_points
        <astro_deepcr.weights.Weights>` and metrics. Pass it, or the file, to
        `~astro_deepcr.cosmicray_deepcr`.

    Raises
    ------
    TypeError, ValueError
        If an option or the data are not usable.
    ~astro_deepcr.exceptions.TrainingError
        If the loss is no number any more, or a checkpoint cannot be written or read.
    ~astro_deepcr.exceptions.WeightsError, ~astro_deepcr.exceptions.DeviceError
        If there are no such weights, architecture or device.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astro_deepcr.training import SimulatedFrames, fit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     weights = fit(
    ...         SimulatedFrames(scenes='stars'), Path(folder) / 'mine.safetensors',
    ...         arguments={'widths': (4, 8), 'depths': 1}, device='cpu',
    ...         steps=2, batch_size=2, crop=32, validation_size=32)
    >>> weights.name, weights.normalization, weights.halo
    ('mine', 'sky-noise-asinh', 12)
    """
    output = Path(output)
    _check_output(output)
    if start is not None:
        # More than this spoils what is known (benchmarks/fine_tuning.py).
        options = {"learning_rate": 3e-5, "dice": 0.0} | options
    check_keys("fit", options, TrainingConfig.__dataclass_fields__)
    config = TrainingConfig(**options)
    entry = _describe(output, task, start, architecture, arguments, about or {})
    if config.teacher and (start is None or entry.task != "mask"):
        msg = f"teacher={config.teacher} needs a start, with weights that find hits."
        raise ValueError(msg)
    if config.crop % entry.stride:
        msg = (
            f"crop={config.crop} must be a multiple of {entry.stride} for this network."
        )
        raise ValueError(msg)
    fraction = config.validation_fraction
    source, held = split_data(data, validation, fraction, entry.task)
    with cpu_threads(), gather_team(device) as team:
        if team.device.type == "cpu":
            keep_freed_memory()
        network = _make_network(entry, start, config).to(team.device)
        training = Training(network, source, held, entry, config, team)
        checkpoint = output.with_suffix(".checkpoint")
        if resume and checkpoint.exists():
            training.load(load_checkpoint(checkpoint, training.told))
        elif team.leads:
            checkpoint.unlink(missing_ok=True)  # of what is not to go on
        if start is not None and not training.step and team.leads:
            training.validate()  # what is kept is never worse than the start
        reporter = Reporter(
            training.step,
            config.steps,
            progress=progress and team.leads,
            log_dir=log_dir if team.leads else None,
        )
        try:
            _run(training, checkpoint, reporter)
        finally:
            reporter.close()
        if team.leads:
            save_checkpoint(checkpoint, training.state())  # the disk may be full
            _finish(training, output)
            checkpoint.unlink(missing_ok=True)
    return get_weights(output, task=None)


def _run(training, checkpoint, reporter):
    """Train to the end; every number that matters is in ``training``."""
    config, team = training.config, training.team
    for step, batch in training.batches():
        loss = training.learn(batch)
        reporter.step(step, loss, training.learning_rate(step))
        done = step + 1
        last = done == config.steps
        if last or done % _ASK_EVERY == 0 or team.device.type == "cpu":
            training.check_finite(checkpoint)
        if last or done % config.validate_every == 0:
            if team.leads:
                training.validate()
                reporter.validation(done, training.history[-1])
            if team.agree(training.is_stale()):
                break
        if done % config.save_every == 0 and not last:
            training.check_finite(checkpoint)
            if team.leads:
                save_checkpoint(checkpoint, training.state())


class Training:
    """
    Everything that changes during a training, and what it needs.

    Parameters
    ----------
    network : `torch.nn.Module`
        What learns, on its device.
    source, held : source
        Of training and validation data.
    entry : `~astro_deepcr.weights.Weights`
        What the network is and wants.
    config : `TrainingConfig`
        How to go about it.
    team : `Team`
        With whom.
    """

    def __init__(self, network, source, held, entry, config, team):
        self.network, self.source, self.entry = network, source, entry
        self.begun = {
            "start": identify(network.state_dict()),
            "data": identify([source, held]),
        }
        self.task = TASKS[entry.task]
        self.config, self.team = config, team
        self.form = InputForm(entry.unit, entry.normalization, entry.scale)
        self.teacher = copy.deepcopy(network).eval() if config.teacher else None
        self.shared = team.share(network)
        self.average = AveragedModel(network, multi_avg_fn=self._move_average)
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.precision = _choose_precision(config.precision, team.device)
        self.step, self.history, self.best, self.stale = 0, [], None, 0
        self.finite = torch.tensor(True, device=team.device)
        self.validation = list(self._draw_validation(held)) if team.leads else []
        if team.leads:
            self.task.check(self.labels())

    @property
    def told(self):
        """What a training that goes on must have been told alike."""
        may_change = ("learning_rate", "clip", "save_every", "patience")
        told = {
            key: value
            for key, value in self.config.to_dict().items()
            if key not in may_change
        }
        kind = ("architecture", "task", "unit", "normalization", "scale")
        what = {key: getattr(self.entry, key) for key in kind}
        what |= {"arguments": repr(sorted(self.entry.arguments.items()))}
        return told | what | self.begun | {"processes": self.team.size}

    def batches(self):
        """Yield steps and batches; on a GPU, one is drawn while it learns another."""
        steps = range(self.step, self.step if self.is_stale() else self.config.steps)
        if self.team.device.type == "cpu":
            # At the same time they fight for the cores: three times as slow.
            yield from ((step, self._draw(step)) for step in steps)
            return
        with ThreadPoolExecutor(1, "draw", torch.set_num_threads, (1,)) as pool:
            coming = pool.submit(self._draw, self.step)
            for step in steps:
                batch = coming.result()
                if step + 1 < self.config.steps:
                    coming = pool.submit(self._draw, step + 1)
                yield step, batch

    def _draw(self, step):
        config, device = self.config, self.team.device
        key = Key(config.seed, step, self.team.rank)
        n, crop = config.batch_size, config.crop
        batch = self.source.draw(n, crop, key, self.form, device)
        flips = Key(config.seed, step, _FLIPS + self.team.rank).torch(device)
        return _jitter(_turn(batch, flips), flips, config.jitter, self.form)

    def _draw_validation(self, held):
        config, left = self.config, self.config.validation_size
        for i in range(math.ceil(left / config.batch_size)):
            n = min(config.batch_size, left - i * config.batch_size)
            key = Key(config.seed, i, _VALIDATION)
            yield held.draw(n, config.crop, key, self.form, self.team.device)

    def learn(self, batch):
        """Take one step, and return the loss."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        dice = config.dice if self.step < config.dice_until * config.steps else 0.0
        x = self.task.to_input(batch, self.form.normalization)
        with self._autocast():
            if self.teacher is not None:
                key = Key(config.seed, self.step, _TEACHER + self.team.rank)
                batch = soften(batch, x, self.teacher, config.teacher, key.numpy())
            output = self.shared(x.contiguous(memory_format=torch.channels_last))
        loss = self.task.loss(output, batch, dice)
        self.optimizer.zero_grad()
        loss.backward()
        parameters = self.network.parameters()
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip)
        self.finite &= torch.isfinite(norm)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return loss.detach()

    def learning_rate(self, step):
        """Return the rate of a step: a linear rise, then half a cosine."""
        warm = max(self.config.warmup * self.config.steps, 1)
        part = min((step - warm) / max(self.config.steps - warm, 1), 1)
        factor = (
            (step + 1) / warm if step < warm else (1 + math.cos(math.pi * part)) / 2
        )
        return self.config.learning_rate * min(max(factor, 0.01), 1)

    def check_finite(self, checkpoint):
        """Stop a training whose loss is no number any more."""
        if bool(self.finite):
            return
        kept = (
            f"The checkpoint {checkpoint} from before is kept; the same call with a "
            "smaller learning_rate or clip goes on from it."
            if checkpoint.exists()
            else "There is no checkpoint yet; start with a smaller learning_rate."
        )
        msg = (
            f"The loss or its gradient is not a finite number after {self.step} "
            f"step(s); the training was stopped. {kept} Look for extreme values in "
            "the training data, too."
        )
        raise TrainingError(msg)

    def validate(self):
        """Measure the averaged network, and remember it if it is the best."""
        output, labels = self.predict(self.average.module), self.labels()
        # The start was calibrated before, and must not win by that alone.
        metrics = self.task.measure(self.task.correct(output, labels), labels)
        self.history.append({"step": self.step} | metrics)
        self.stale += 1
        if self.best is None or metrics["loss"] < self.best["loss"]:
            self.best = {"loss": metrics["loss"], "state": fold(self.average.module)}
            self.stale = 0

    def is_stale(self):
        """Say whether it is time to stop."""
        return self.config.patience is not None and self.stale >= self.config.patience

    @torch.no_grad()
    def predict(self, network):
        """Return the output for the validation data, on the CPU."""
        output = []
        for batch in self.validation:
            x = self.task.to_input(batch, self.form.normalization)
            output.append(network(x).float().cpu())
        return torch.cat(output)

    def labels(self):
        """Return the validation data, on the CPU."""
        return Batch.cat(self.validation).map(lambda tensor: tensor.cpu())

    def state(self):
        """Return all that the rest of the training depends on."""
        return {
            "config": self.told,
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.history,
            "best": self.best,
            "stale": self.stale,
        }

    def load(self, state):
        """Go on from a `state`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.history = state["step"], state["history"]
        self.best, self.stale = state["best"], state["stale"]

    def _autocast(self):
        kind = self.team.device.type
        return torch.autocast(
            kind, torch.bfloat16, enabled=self.precision == "bfloat16"
        )

    @torch.no_grad()
    def _move_average(self, averaged, current, number):
        # In the beginning, an average over fewer steps.
        decay = min(self.config.average, (1 + int(number)) / (10 + int(number)))
        torch._foreach_lerp_(averaged, current, 1 - decay)


def _check_output(output):
    if output.suffix != ".safetensors":
        msg = f"output={str(output)!r} must end in .safetensors."
        raise ValueError(msg)
    if not output.parent.is_dir():
        msg = f"There is no directory {output.parent} to write {output.name} to."
        raise FileNotFoundError(msg)


def _describe(output, task, start, architecture, arguments, about):
    """Return the entry of the weights to be, but for what only training tells."""
    check_keys("about", about, _ABOUT)
    about, arguments = check_about(about), plain_values(arguments or {})
    if task not in TASKS:
        msg = f"task={task!r} is not known; choose one of {', '.join(TASKS)}."
        raise ValueError(msg)
    if start is not None:
        old = get_weights(start, task=None)
        spec = {k: v for k, v in old.to_spec().items() if k not in _OF_START_ONLY}
        before = old.trained_on or old.name
        spec["trained_on"] = f"{before}; then tuned"
        spec["arguments"] = dict(old.arguments) | arguments
    else:
        spec = {
            "architecture": architecture or TASKS[task].architecture,
            "arguments": arguments,
            "normalization": "sky-noise-asinh",
            "task": task,
        }
    halo, stride = model_reach(spec["architecture"], spec["arguments"])
    spec |= {"halo": halo, "stride": stride}
    spec |= {"name": output.stem, "operating_points": (), "metrics": {}} | about
    return Weights(**spec, sha256="")


def _make_network(entry, start, config):
    """Return the network to be trained, with weights that the seed decides."""
    network = check_channels(_build(entry, config.seed), entry)
    if start is not None:
        old = get_weights(start, task=None)
        state = load_state(resolve(old))
        if old.arguments == entry.arguments:
            network.load_state_dict(state)
        else:
            enlarge(state, network)
    if config.reparametrize:
        reparametrize(network)
    return network.to(memory_format=torch.channels_last)


def _build(entry, seed=0):
    """Build a network without touching anybody's random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(entry.architecture, entry.arguments)


def _choose_precision(precision, device):
    """Return 'bfloat16' where it was asked for, or where the device is fast at it."""
    if precision != "auto":
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def _turn(batch, generator):
    """Flip and transpose each cut-out at random: all eight ways a square can lie."""
    bits = torch.rand(3, len(batch), generator=generator, device=generator.device)
    bits = (bits < 0.5)[:, :, None, None]

    def turn(image):
        if image.ndim == 1:
            return image
        image = torch.where(bits[0], image.flip(-1), image)
        image = torch.where(bits[1], image.flip(-2), image)
        return torch.where(bits[2], image.transpose(-1, -2), image)

    return batch.map(turn)


def _jitter(batch, generator, jitter, form):
    """Disturb the measured sky and noise, as other frames would have them."""
    if not jitter or form.normalization == "fixed":
        return batch
    shape, device = (2, len(batch)), generator.device
    error = jitter * torch.randn(shape, generator=generator, device=device)
    return batch.replace(
        offset=batch.offset + error[0] * batch.scale,
        scale=batch.scale * torch.exp(error[1]),
    )


def _finish(training, output):
    """Calibrate the best network, measure it, and write the file."""
    entry, state = training.entry, training.best["state"]
    network = _build(entry).to(training.team.device)
    network.load_state_dict(state)
    task, labels = training.task, training.labels()
    state = task.calibrate(state, training.predict(network), labels)
    network.load_state_dict(state)
    told = task.describe(training.predict(network), labels)
    told["metrics"] = told["metrics"] | {"steps": training.step}
    save_weights(output, state, Weights(**entry.to_spec() | told, sha256=""))
