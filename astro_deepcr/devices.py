# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the networks run, and in which precision. Imports torch."""

import contextlib
import ctypes
import multiprocessing
import os
from functools import cache

import torch

from . import _FORKED, conf
from .exceptions import DeviceError

__all__ = [
    "cpu_has_bfloat16",
    "cpu_has_int8",
    "cpu_threads",
    "keep_freed_memory",
    "resolve_device",
    "resolve_precision",
]

# Numbers of options of glibc's mallopt, and the bytes that they are set to: the most
# that it takes for the first, and more than a network needs for the second.
_MALLOPT = {"TRIM": (-1, 2**30), "MMAP": (-3, 32 * 2**20)}


def resolve_device(device=None):
    """
    Turn the name of a device into one that exists.

    Parameters
    ----------
    device : str or `torch.device`, optional
        'auto' (the first GPU that torch can use, else the CPU), 'cpu', 'cuda',
        'cuda:1', 'mps'. `None` means ``conf.device``.

    Returns
    -------
    device : `torch.device`
        With its index, where the device has one.

    Raises
    ------
    ~astro_deepcr.exceptions.DeviceError
        If the device is not known, or this computer does not have it.

    Examples
    --------
    >>> from astro_deepcr.devices import resolve_device
    >>> resolve_device('cpu')
    device(type='cpu')
    """
    name = str(conf.device if device is None else device)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        wanted = torch.device(name)
    except RuntimeError:
        wanted = None
    if wanted is None or wanted.type not in ("cpu", "cuda", "mps"):
        msg = (
            f"device={name!r} is not known; choose 'auto', 'cpu', 'cuda', 'cuda:1' "
            "or 'mps'."
        )
        raise DeviceError(msg)
    _check_exists(wanted, name)
    if wanted.type == "cuda" and wanted.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return wanted


def resolve_precision(device):
    """
    Choose the type of the numbers of the networks on a device.

    Parameters
    ----------
    device : `torch.device`
        The device.

    Returns
    -------
    dtype : `torch.dtype`
        From ``conf.precision``; 'auto' is bfloat16 (or float16 on older ones) on
        a GPU and float32 elsewhere; `~astro_deepcr.inference.predict` tries more.

    Raises
    ------
    ~astro_deepcr.exceptions.DeviceError
        If 'int8' was asked for where there is nothing for it.
    """
    if conf.precision == "int8" and not (device.type == "cpu" and cpu_has_int8()):
        msg = (
            f"precision='int8' was asked for, which {device} cannot do well: it needs "
            "a processor with AVX2 or VNNI. Use precision='auto'."
        )
        raise DeviceError(msg)
    if conf.precision != "auto":
        return getattr(torch, conf.precision)
    if device.type == "cuda":
        return torch.bfloat16 if has_bfloat16(device) else torch.float16
    return torch.float32


def has_bfloat16(device):
    """Say whether a device calculates in bfloat16, which older GPUs only emulate."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return bool(torch.version.hip) or capability >= (8, 0)
    return device.type == "cpu" and cpu_has_bfloat16()


@contextlib.contextmanager
def exact_convolutions(device):
    """
    Keep a GPU for a while from rounding float32 to 10 bits (TF32) in convolutions.

    Parameters
    ----------
    device : `torch.device`
        The device.
    """
    if device.type != "cuda":
        yield
        return
    # torch 2.9 gave the switch another name, and refuses to mix the two.
    cudnn = torch.backends.cudnn
    switch, name, off = cudnn, "allow_tf32", False
    if hasattr(getattr(cudnn, "conv", None), "fp32_precision"):
        switch, name, off = cudnn.conv, "fp32_precision", "ieee"
    before = getattr(switch, name)
    setattr(switch, name, off)
    try:
        yield
    finally:
        setattr(switch, name, before)


def cpu_has_bfloat16():
    """Say whether the processor has instructions (AVX-512 or AMX) for bfloat16."""
    # torch has no public name for this; what an old version does not know is missing.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def cpu_has_int8():
    """Say whether the processor has instructions (AVX2) for integers of 8 bits."""
    # AVX2 adds products in pairs, in 16 bits, and cuts off what is too large for these.
    # That takes two large weights beside each other where the light is brightest; masks
    # are as good as those of VNNI (docs/performance.rst).
    names = ("_is_vnni_supported", "_is_avx2_supported")
    fast = any(getattr(torch.cpu, name, bool)() for name in names)
    built = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    return fast and built and hasattr(torch.ops.onednn, "qconv2d_pointwise")


@contextlib.contextmanager
def cpu_threads(number=None):
    """
    Use a number of CPU threads for a while.

    Parameters
    ----------
    number : int, optional
        Number of threads; `None` means ``conf.num_threads``, 0 leaves torch's
        setting. A process that was forked has one, whatever is asked for.
    """
    number = conf.num_threads if number is None else number
    before = torch.get_num_threads()
    if number < 0:
        msg = f"num_threads={number} must be 0 (torch's own choice) or more."
        raise ValueError(msg)
    if _is_forked():
        number = 1
    try:
        if number:
            torch.set_num_threads(number)
        yield
    finally:
        if number:
            torch.set_num_threads(before)


def _is_forked():
    """
    Say whether this process is a fork of one that may have used torch.

    Threads do not come along: OpenMP, which may have started some, would wait for them
    for ever.
    """
    kind = type(multiprocessing.current_process()).__name__
    return bool(_FORKED) or kind == "ForkProcess"


@cache
def keep_freed_memory():
    """
    Let the C library keep freed memory at hand for the next layer of a network.

    glibc, that of Linux, gives large pieces back at once; the system then clears each
    page before it is used again, which takes time (docs/performance.rst). Up to one GiB
    stays with the process instead; and more if each frame has another shape, since what
    is freed then lies in many pieces. Other libraries are left as they are, and so is
    what the environment says (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``).
    """
    for name, (option, size) in _MALLOPT.items():
        if f"MALLOC_{name}_THRESHOLD_" not in os.environ:
            with contextlib.suppress(AttributeError, OSError, TypeError):
                ctypes.CDLL(None).mallopt(option, size)


def _check_exists(device, name):
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= found:
            msg = (
                f"device={name!r} was asked for, but torch finds {found} CUDA "
                "device(s). Use device='auto' or 'cpu', or install a CUDA build of "
                "torch."
            )
            raise DeviceError(msg)
    if device.type == "mps" and not torch.backends.mps.is_available():
        msg = f"device={name!r} was asked for, but this computer has no MPS device."
        raise DeviceError(msg)
