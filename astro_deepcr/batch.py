# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Clean many FITS files: in this process, in several, or on a cluster.

Workers write a complete output under a temporary name. The process that was started
notes it in the journal and gives it its own name; so whatever dies, and whenever, an
output is there as a whole or not at all, and is not made twice.
"""

import inspect
import os
import zlib
from dataclasses import replace
from importlib.util import find_spec
from math import nan
from numbers import Integral
from pathlib import Path

import numpy as np
from astropy.table import Table

from . import conf
from .arguments import (
    check_limits,
    check_number,
    check_orientations,
    choose_threshold,
    parse_generator,
    parse_inpaint,
)
from .batch_files import plan_outputs
from .core import cosmicray_deepcr
from .fits_files import check_bits
from .fits_output import check_hdu_name, check_target, find_work, remove_parts
from .flags import parse_flag_bit
from .jobs import FileResult, Job, describe_error, look_again, run_job
from .journal import Journal
from .simulate.environments import get_environment
from .weights import Weights, added_weights, fetch_weights, get_weights

__all__ = ["clean_collection", "clean_files"]

# Arguments of cosmicray_deepcr that a batch sets itself, or has another form of.
_OWN = {"ccd", "weights", "protect", "background", "update_mask", "flag_bit", "device"}
_OWN |= {"add_keyword", "add_uncertainty"}
_OPTIONS = {
    name: parameter.default
    for name, parameter in inspect.signature(cosmicray_deepcr).parameters.items()
    if name not in _OWN
}


def clean_files(
    files,
    weights=None,
    *,
    output_dir=None,
    suffix="_cleaned",
    overwrite=False,
    ext=None,
    unit=None,
    bad_bits=0,
    bad_pixels=None,
    mask_hdu="CRMASK",
    dq_bit=None,
    update_err=False,
    jobs=None,
    scheduler=None,
    device=None,
    report=None,
    pixel_size=None,
    environment=None,
    dry_run=False,
    progress=None,
    **options,
):
    """
    Clean FITS files, and write each into a file of its own.

    What was done already, from the same file with the same settings, is not done
    again: run the same call again after an interruption. One broken file does not stop
    the others.

    Parameters
    ----------
    files : list of path-like, path-like, dict or `~ccdproc.ImageFileCollection`
        Files, folders, patterns (``'a*.fits'``) and lists ('@files.txt': one in each
        line); or input file -> output file. They are not changed.
    weights : str, path-like, `~astro_deepcr.weights.Weights` or None, optional
        As in `cosmicray_deepcr`; 'auto' chooses for each frame by its header.
    output_dir : path-like, optional
        Folder of the outputs, made if need be; by default that of each input.
    suffix : str, optional
        Added to the name of each input: ``a.fits`` becomes ``a_cleaned.fits``.
    overwrite : bool, optional
        Whether other files under the names of outputs are replaced.
    ext : int, str, tuple of name and version, or list of these, optional
        Numbers, names ('SCI', ``'N*'``) or names and versions ('SCI,2') of the HDUs
        to be cleaned. By default all called SCI; or else the primary HDU; or else all
        images but those called ERR, DQ, MASK and the like.
    unit : str or `~astropy.units.Unit`, optional
        Unit of the values; by default that of the keyword BUNIT.
    bad_bits : int, optional
        Bits of the DQ planes that say that a pixel is bad: their sum. These pixels are
        never flagged.
    bad_pixels : path-like, optional
        A FITS file of masks, not 0 where pixels are bad, such as L.A.Cosmic takes as
        its ``inmask``: one image for all frames, or one for each of a file, in order.
        These pixels are never flagged.
    mask_hdu : str or None, optional
        Name of HDUs with the cosmic rays, appended to the outputs. `None` for none.
    dq_bit : int or str, optional
        Bit, or its name ('hst', see `astro_deepcr.flags`), that cosmic rays get in
        the DQ planes.
    update_err : bool, optional
        Whether the ERR planes (UNCERT in files that `~astropy.nddata.CCDData` wrote)
        get the expected deviation of the pixels that were replaced; as they are, they
        tell that of the cosmic ray.
    jobs : int, optional
        Number of processes, of a `distributed.LocalCluster`. By default one file
        after the other is cleaned in this process, for which Dask is not needed.
    scheduler : str, optional
        Address of the scheduler of a running Dask cluster, such as
        'tcp://10.0.0.1:8786'. Its workers must see the same files.
    device : str, optional
        As in `cosmicray_deepcr`. Several processes share the GPUs of a computer.
    report : path-like, optional
        Where a report is written, one HTML page. It needs jinja2 and matplotlib.
    pixel_size : float, optional
        In micrometres, for the rate of events in the report; by default that of the
        header or of a known instrument.
    environment : str, optional
        One of `~astro_deepcr.simulate.list_environments`, for the expected rate.
    dry_run : bool, optional
        Whether to tell what would be done, only.
    progress : callable, optional
        Called with the number of files, and with what became of each as it is done: an
        object with ``source``, ``target``, ``status``, ``frames`` and ``message``.
    **options
        Other arguments of `cosmicray_deepcr`: ``threshold``, ``fpr``, ``grow``,
        ``inpaint``, ``gain``, ``max_fraction``, ...

    Returns
    -------
    table : `~astropy.table.Table`
        One row for each file: ``file``, ``output``, ``status`` ('cleaned', 'skipped',
        'failed'; 'to do' in a dry run), ``frames``, ``pixels``, ``events``,
        ``fraction`` (the largest of its frames, NaN without any), ``seconds`` and
        ``message`` (the error, or warnings).

    Raises
    ------
    TypeError
        If an option is not known.
    ValueError
        If there is no file, or two have the same output.
    OSError
        If the scheduler does not answer, a folder cannot be made, or there is no file
        ``bad_pixels``.
    ~astro_deepcr.exceptions.WeightsError
        If the weights cannot be found, fetched or verified.

    Notes
    -----
    A script that passes ``jobs`` must keep its calls below ``if __name__ ==
    '__main__':``, since the processes import it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astro_deepcr import clean_files
    >>> from astro_deepcr.simulate import make_cosmicray_ccd
    >>> ccd, _ = make_cosmicray_ccd((64, 64), seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ccd.write(Path(folder) / 'a.fits')
    ...     table = clean_files(folder, 'auto')
    >>> Path(table['output'][0]).name, str(table['status'][0])
    ('a_cleaned.fits', 'cleaned')
    """
    targets = plan_outputs(files, output_dir, suffix)
    if report is not None:
        _check_report(Path(report), output_dir, targets)
    if environment is not None:
        get_environment(environment)
    weights, fill = _check_options(weights, options)
    if device is not None and not (dry_run or jobs or scheduler):
        from .devices import resolve_device

        resolve_device(device)
    if bad_pixels is not None and not Path(bad_pixels).is_file():
        msg = f"There is no file {bad_pixels}, the bad_pixels= (--bad-pixels)."
        raise FileNotFoundError(msg)
    check_bits(bad_bits or 0)
    check_hdu_name(mask_hdu)
    if pixel_size is not None:
        check_number("pixel_size", pixel_size, 0.1, 1000)
    bit = None if dq_bit is None else parse_flag_bit(dq_bit)
    judging = {"pixel_size": pixel_size, "environment": environment}
    judging |= {k: v for k, v in options.items() if k == "max_fraction"}
    common = {
        "weights": weights,
        "reading": {
            "ext": ext,
            "unit": unit,
            "bad_bits": bad_bits,
            "bad_pixels": None if bad_pixels is None else Path(bad_pixels).absolute(),
            "errors": update_err,
        },
        "writing": {"mask_hdu": mask_hdu, "dq_bit": bit},
        "judging": judging,
        "device": device,
        "draw": report is not None,
        "zoo": tuple(added_weights("mask")) if weights == "auto" else (),
    }
    each = _options_of_each(_OPTIONS | options | {"inpaint": fill}, targets)
    todo = [
        Job(source, target, options=own, **common)
        for (source, target), own in zip(targets.items(), each, strict=True)
    ]
    batch = _Batch(todo, overwrite, new_folder=output_dir is not None)
    found = batch.rehearse() if dry_run else batch.run(jobs, scheduler)
    results = {}
    for result in found:
        results[result.source] = result
        if progress is not None:
            progress(len(targets), result)
    results = [results[source] for source in targets]
    if report is not None and not dry_run:
        from .report import write_report

        write_report(report, results)
    return _table(results)


def clean_collection(collection, weights=None, *, select=None, ccd_kwargs=None, **kw):
    """
    Clean the frames of a collection, one after the other.

    Parameters
    ----------
    collection : `~ccdproc.ImageFileCollection`
        The files. They are not changed.
    weights : str, path-like, `~astro_deepcr.weights.Weights` or None, optional
        As in `cosmicray_deepcr`.
    select : dict, optional
        Keywords and values of the headers, as for the methods of the collection.
    ccd_kwargs : dict, optional
        Arguments of `astropy.nddata.CCDData.read`, such as ``{'unit': 'adu'}``.
    **kw
        Other arguments of `cosmicray_deepcr`.

    Yields
    ------
    cleaned : `~astropy.nddata.CCDData`
        The frame, read only when its turn comes.
    filename : str
        Name of its file.

    See Also
    --------
    clean_files : Writes the results; takes a collection, too.

    Examples
    --------
    >>> import tempfile
    >>> from ccdproc import ImageFileCollection
    >>> from astro_deepcr import clean_collection
    >>> from astro_deepcr.simulate import make_cosmicray_ccd
    >>> ccd, _ = make_cosmicray_ccd((64, 64), seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ccd.write(f'{folder}/a.fits')
    ...     for cleaned, name in clean_collection(ImageFileCollection(folder)):
    ...         print(name, cleaned.shape)
    a.fits (64, 64)
    """
    frames = collection.ccds(
        return_fname=True, ccd_kwargs=ccd_kwargs or {}, **(select or {})
    )
    for ccd, name in frames:
        yield cosmicray_deepcr(ccd, weights, **kw), name


class _Batch:
    """The jobs of one call, and the journals that know which are done."""

    def __init__(self, jobs, overwrite, new_folder):
        self.jobs = {job.source: job for job in jobs}
        self.overwrite = overwrite
        self.new_folder = new_folder
        self.journals = {}

    def rehearse(self):
        """Yield what would be done."""
        for job in self.jobs.values():
            result = self._known(job)
            if result is None:
                result = FileResult(job.source, job.target, "to do")
                try:
                    found = find_work(job.source, job.reading, job.writing)
                    frames = [{"hdu": index} for index in found]
                    result = replace(result, frames=frames)
                except (OSError, ValueError) as err:
                    message = describe_error(err, job.source)
                    result = replace(result, status="failed", message=message)
            yield result

    def run(self, processes=None, scheduler=None):
        """Yield what became of each file, as it is done."""
        targets = [job.target for job in self.jobs.values()]
        if self.new_folder:
            targets[0].parent.mkdir(parents=True, exist_ok=True)
        remove_parts(targets)
        known = {source: self._known(job) for source, job in self.jobs.items()}
        yield from (result for result in known.values() if result is not None)
        todo = [self.jobs[source] for source, result in known.items() if result is None]
        try:
            for job, result in _run(todo, processes, scheduler):
                yield self._finish(job, result)
        finally:
            remove_parts(targets)

    def _journal(self, job):
        folder = job.target.parent
        if folder not in self.journals:
            self.journals[folder] = Journal(folder)
        return self.journals[folder]

    def _known(self, job):
        """Return the result of a file that is done, or cannot be done."""
        try:
            journal = self._journal(job)
            frames = journal.find(job.source, job.target, job.settings)
            if frames is not None:
                looked = look_again(job, frames)
                return FileResult(job.source, job.target, "skipped", **looked)
            if self.new_folder and not job.target.parent.exists():
                return None
            check_target(job.source, job.target, overwrite=self.overwrite)
            journal.check()
        except (OSError, ValueError) as err:
            message = describe_error(err, job.source)
            return FileResult(job.source, job.target, "failed", message=message)
        return None

    def _finish(self, job, result):
        """Give a complete output its name."""
        if isinstance(result, BaseException):
            message = describe_error(result, job.source)
            return FileResult(job.source, job.target, "failed", message=message)
        if result.status != "cleaned":
            return result
        try:
            check_target(job.source, job.target, overwrite=self.overwrite)
            done = job.target, job.settings, result.part, result.frames
            self._journal(job).add(job.source, result.version, *done)
            result.part.replace(job.target)
        except OSError as err:
            result.part.unlink(missing_ok=True)
            message = describe_error(err, job.source)
            return replace(result, status="failed", message=message)
        return result


def _run(todo, processes, scheduler):
    """Yield each job with its result, or with the exception that stopped it."""
    if processes is None and scheduler is None:
        yield from ((job, run_job(job)) for job in todo)
        return
    _check_cluster(processes, scheduler)
    if not todo:
        return
    from .cluster import run_on_cluster

    settings = {name: getattr(conf, name) for name in conf}
    if settings["weights_dir"]:
        settings["weights_dir"] = str(Path(settings["weights_dir"]).absolute())
    if todo[0].device is not None:
        settings["device"] = todo[0].device
    # Workers may be in other folders, where a relative name is another file.
    sent = [
        replace(
            job,
            source=job.source.absolute(),
            target=job.target.absolute(),
            device=None,
        )
        for job in todo
    ]
    own = {job.source: mine for job, mine in zip(sent, todo, strict=True)}
    cluster = {"jobs": processes, "scheduler": scheduler}
    for job, result in run_on_cluster(run_job, sent, settings, **cluster):
        mine = own[job.source]
        if isinstance(result, FileResult):
            result = replace(result, source=mine.source, target=mine.target)
        yield mine, result


def _check_cluster(processes, scheduler):
    if processes is not None and scheduler is not None:
        msg = f"jobs={processes} and scheduler={scheduler!r} exclude each other."
        raise ValueError(msg)
    whole = isinstance(processes, Integral) and not isinstance(processes, bool)
    if processes is not None and not (whole and processes > 0):
        msg = f"jobs={processes!r} must be a whole number, 1 or more."
        raise ValueError(msg)
    if find_spec("distributed") is None:
        msg = (
            "Several processes need dask.distributed: pip install "
            "'astro_deepcr[dask]', or leave jobs= (--jobs) out."
        )
        raise ValueError(msg)


def _check_report(path, output_dir, targets):
    """Complain before the work, not after it."""
    if path.resolve() in {p.resolve() for pair in targets.items() for p in pair}:
        msg = f"The report {path} would replace a frame; choose another name."
        raise ValueError(msg)
    if find_spec("jinja2") is None or find_spec("matplotlib") is None:
        msg = (
            "A report needs jinja2 and matplotlib: pip install 'astro_deepcr[report]'."
        )
        raise ValueError(msg)
    new = output_dir is not None and path.parent.resolve() == Path(output_dir).resolve()
    if not (new or path.parent.is_dir()):
        msg = f"There is no folder {path.parent} for the report."
        raise FileNotFoundError(msg)


def _check_options(weights, options):
    """Complain once, not for each file; return weights and fill, fetched."""
    if unknown := options.keys() - _OPTIONS.keys():
        msg = (
            f"Options {', '.join(sorted(unknown))} are not known; there are "
            f"{', '.join(sorted(_OPTIONS))}."
        )
        raise TypeError(msg)
    options = _OPTIONS | options
    parse_generator(options["noise"])
    check_orientations(options["orientations"])
    limits = (options[name] for name in ("neighbor_threshold", "grow", "max_fraction"))
    fill = parse_inpaint(options["inpaint"], None)
    if isinstance(fill, Weights):
        fetch_weights(fill)
    if isinstance(weights, str) and weights == "auto":
        check_limits(1, *limits)
        return weights, fill
    weights = get_weights(weights)
    threshold = choose_threshold(weights, options["threshold"], options["fpr"])
    check_limits(threshold, *limits)
    fetch_weights(weights)
    return weights, fill


def _options_of_each(options, sources):
    """Return the options of each file: noise of its own, whichever process draws it."""
    noise = options.get("noise")
    if not isinstance(noise, np.random.Generator):
        return [options] * len(sources)
    seed = noise.bit_generator.seed_seq
    return [options | {"noise": _noise_of(source, seed)} for source in sources]


def _noise_of(source, seed):
    """Return the generator of a file, whichever others are cleaned with it."""
    # Nights may be in folders of their own, with files of the same names.
    name = os.fsencode(Path(*source.absolute().parts[-2:]))
    key = (*seed.spawn_key, zlib.crc32(name))
    return np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=key))


def _table(results):
    rows = [
        {
            "file": str(result.source),
            "output": str(result.target),
            "status": result.status,
            "frames": len(result.frames),
            "pixels": sum(frame.get("pixels", 0) for frame in result.frames),
            "events": sum(frame.get("events", 0) for frame in result.frames),
            "fraction": max((f.get("fraction", 0) for f in result.frames), default=nan),
            "seconds": round(result.seconds, 2),
            "message": result.message or "; ".join(result.warnings),
        }
        for result in results
    ]
    return Table(rows)
