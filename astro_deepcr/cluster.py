# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Run a function for many files on a Dask cluster. Imports distributed."""

from contextlib import contextmanager

from distributed import Client, LocalCluster, WorkerPlugin, as_completed
from distributed.client import FutureCancelledError

from . import conf

__all__ = ["run_on_cluster"]

# While one file is in the network, another one is read or written.
_THREADS = 2
_TIMEOUT = "20s"
# Of the scheduler's pages: any free port of this computer.
_ADDRESS = "127.0.0.1:0"


def run_on_cluster(function, items, settings, *, jobs=None, scheduler=None):
    """
    Run a function for each item, in the processes of a Dask cluster.

    Parameters
    ----------
    function : callable
        Takes one item. It may run twice for an item, if a worker dies.
    items : list
        What to run it for.
    settings : dict
        Values of ``astro_deepcr.conf`` that the workers are to have.
    jobs : int, optional
        Number of processes on this computer.
    scheduler : str, optional
        Address of the scheduler of a running cluster, instead.

    Yields
    ------
    item : object
        In the order in which they are done.
    result : object
        What the function returned, or the exception that kept it from that.

    Raises
    ------
    OSError
        If the scheduler does not answer.
    """
    with _client(jobs, scheduler) as client:
        plugin = _Settings(settings, jobs)
        client.register_plugin(plugin, name=plugin.name)
        try:
            futures = {client.submit(function, i, pure=False): i for i in items}
            for future in as_completed(futures, loop=client.loop):
                yield futures.pop(future), _outcome(future)
                del future  # the scheduler may forget it
        finally:
            if client.status == "running":
                client.unregister_worker_plugin(plugin.name)


def _outcome(future):
    """Return a result, or the exception in its place."""
    try:  # waits, if a worker died with it and another begins again
        return future.result()
    except FutureCancelledError:
        msg = "The connection to the Dask scheduler was lost; run the same again."
        return OSError(msg)
    except Exception as err:  # noqa: BLE001 - what the function raised
        return err


@contextmanager
def _client(jobs, scheduler):
    if scheduler is None:
        cluster = LocalCluster(
            n_workers=jobs, threads_per_worker=_THREADS, dashboard_address=_ADDRESS
        )
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as err:
        msg = (
            f"No Dask scheduler answers at {scheduler}: {err}. Start one with 'dask "
            "scheduler', or use this computer with jobs= (--jobs)."
        )
        raise OSError(msg) from err
    with client:
        yield client


class _Settings(WorkerPlugin):
    """Gives a worker the configuration of who started the batch, for its time."""

    name = "astro_deepcr-settings"
    # Of this process, which may have several workers.
    before, workers = {}, 0

    def __init__(self, settings, jobs):
        self.settings = dict(settings)
        self.jobs = jobs

    def setup(self, worker):
        """Set the configuration, with a part of this computer for each worker."""
        if not _Settings.workers:
            _Settings.before = {name: getattr(conf, name) for name in self.settings}
        _Settings.workers += 1
        settings, threads = dict(self.settings), worker.state.nthreads
        if self.jobs is not None:
            settings["device"] = _own_device(settings["device"], worker.name)
            threads = max(_own_threads() // self.jobs, 1)
        settings["num_threads"] = settings["num_threads"] or threads
        _set(settings)

    def teardown(self, worker):  # noqa: ARG002
        """Put the configuration back."""
        _Settings.workers -= 1
        if not _Settings.workers:
            _set(_Settings.before)


def _own_threads():
    """Return the number of threads that this process may use, as torch counts them."""
    import torch

    return torch.get_num_threads()


def _set(settings):
    for name, value in settings.items():
        setattr(conf, name, value)


def _own_device(device, number):
    """Return the GPU of a worker; other devices than GPUs are for all."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device in ("auto", "cuda") and gpus:
        return f"cuda:{int(number) % gpus}"
    return device
