# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
One small adapter for each way to find cosmic rays.

An adapter is a `Method`: a name, a function of a `LabelledFrame` that gives each
pixel a score, and the threshold at which the method is normally used. Peers that
give a mask are run at several of their detection thresholds; the score of a pixel
is the highest at which it is still flagged. Packages are imported when used.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from ..exceptions import WeightsMismatchWarning

__all__ = [
    "SIGCLIPS",
    "Method",
    "astroscrappy_method",
    "cosmic_conn_method",
    "deepcr_package_method",
    "get_method",
    "lacosmic_method",
    "list_methods",
    "median_method",
    "network_method",
]

#: Detection thresholds, in sigma, at which L.A.Cosmic and the median are run.
SIGCLIPS = (1.5, 2, 2.5, 3, 3.75, 4.5, 5.5, 7, 9, 11, 14, 18, 24, 32, 50, 100)

# The neighbours' threshold over that of the detection: astroscrappy's sigfrac.
_SIGFRAC = 0.3


@dataclass(frozen=True)
class Method:
    """
    A way to find cosmic rays.

    Parameters
    ----------
    name : str
        Name in tables and figures.
    score : callable
        Function of a `LabelledFrame` that returns a 2-D array: the higher, the more
        likely a cosmic ray.
    threshold : float, optional
        Pixels with at least this score make up the mask that is normally used.
    is_probability : bool, optional
        Whether the scores are meant as probabilities.

    Examples
    --------
    >>> from astro_deepcr.evaluation import Method
    >>> brightest = Method("brightest", lambda frame: frame.ccd.data, threshold=1e4)
    >>> brightest.name
    'brightest'
    """

    name: str
    score: Callable
    threshold: float = 0.5
    is_probability: bool = True


def network_method(weights, threshold=None, **kwargs):
    """
    Adapt weights of this package's zoo, or of a file.

    Parameters
    ----------
    weights : str, path-like or `~astro_deepcr.weights.Weights`
        Which weights.
    threshold : float or None, optional
        By default the one that the weights recommend.
    **kwargs
        Arguments of `astro_deepcr.cosmicray_probability`, such as ``device``.

    Returns
    -------
    Method
        It is not warned of weights that were made for another instrument: to
        compare them is the purpose.

    Examples
    --------
    >>> from astro_deepcr.evaluation import network_method
    >>> network_method("acs-wfc").name
    'acs-wfc'
    """
    from ..core import cosmicray_probability
    from ..weights import get_weights

    entry = get_weights(weights)

    def score(frame):
        options = {"gain": frame.gain} | kwargs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WeightsMismatchWarning)
            return cosmicray_probability(frame.ccd, entry, **options)

    return Method(
        entry.name, score, entry.threshold if threshold is None else threshold
    )


def astroscrappy_method(name="astroscrappy", sigclips=SIGCLIPS, **kwargs):
    """
    Adapt astroscrappy's L.A.Cosmic.

    Parameters
    ----------
    name : str, optional
        Name in tables and figures.
    sigclips : sequence of float, optional
        Detection thresholds that are tried.
    **kwargs
        Arguments of ``astroscrappy.detect_cosmics``. ``sepmed=False`` with an
        ``objlim`` of 5 (space) or 2 (ground) is the setting that does best.

    Returns
    -------
    Method
        Its normal threshold is astroscrappy's own, 4.5.

    Examples
    --------
    >>> from astro_deepcr.evaluation import astroscrappy_method
    >>> method = astroscrappy_method("good for space", sepmed=False, objlim=5)
    >>> method.threshold
    4.5
    """

    if "sigclip" in kwargs:
        msg = "sigclip is what the score is made of; pass sigclips, a list of them."
        raise TypeError(msg)

    def score(frame):
        from astroscrappy import detect_cosmics

        options = {
            "inmask": frame.bad,
            "sigfrac": _SIGFRAC,
            "gain": 1.0,
            "readnoise": frame.readnoise,
            "satlevel": frame.saturation,
        } | kwargs

        def flag(sigclip):
            return detect_cosmics(frame.electrons, sigclip=sigclip, **options)[0]

        return _highest_flagging(flag, sigclips)

    return Method(name, score, threshold=4.5, is_probability=False)


def lacosmic_method(sigclips=SIGCLIPS, contrast=5.0):
    """
    Adapt the package lacosmic, 1.3 or newer.

    Parameters
    ----------
    sigclips : sequence of float, optional
        Detection thresholds that are tried.
    contrast : float, optional
        Contrast between the Laplacian and the fine structure.

    Returns
    -------
    Method

    Examples
    --------
    >>> from astro_deepcr.evaluation import lacosmic_method
    >>> lacosmic_method().name
    'lacosmic'
    """

    def score(frame):
        from astropy import log
        from lacosmic import remove_cosmics

        def flag(sigclip):
            with log.log_to_list():
                return remove_cosmics(
                    frame.electrons,
                    contrast,
                    sigclip,
                    _SIGFRAC * sigclip,
                    mask=frame.bad,
                    effective_gain=1.0,
                    readnoise=frame.readnoise,
                )[1]

        return _highest_flagging(flag, sigclips)

    return Method("lacosmic", score, threshold=4.5, is_probability=False)


def median_method(sigclips=SIGCLIPS):
    """
    Adapt `ccdproc.cosmicray_median`.

    Parameters
    ----------
    sigclips : sequence of float, optional
        Detection thresholds that are tried.

    Returns
    -------
    Method
        Noise: photon noise of the image smoothed by a 5x5 median, and read noise.

    Examples
    --------
    >>> from astro_deepcr.evaluation import median_method
    >>> median_method().threshold
    5
    """
    threshold = 5  # ccdproc's own
    sigclips = sorted({*sigclips, threshold})

    def score(frame):
        from ccdproc import cosmicray_median
        from scipy.ndimage import median_filter

        image = frame.electrons
        light = np.maximum(median_filter(image, 5), 0)
        error = np.sqrt(light + frame.readnoise**2)

        def flag(sigclip):
            return cosmicray_median(image, error_image=error, thresh=sigclip)[1]

        return _highest_flagging(flag, sigclips)

    return Method("ccdproc-median", score, threshold, is_probability=False)


def deepcr_package_method(model="ACS-WFC"):
    """
    Adapt the package deepCR as it comes, where it is installed.

    Parameters
    ----------
    model : str, optional
        Name of one of its mask models.

    Returns
    -------
    Method

    Examples
    --------
    >>> from astro_deepcr.evaluation import deepcr_package_method
    >>> deepcr_package_method("ACS-WFC").name
    'deepCR ACS-WFC'
    """

    def score(frame):
        from deepCR import deepCR

        network = deepCR(mask=model, device="CPU")
        return network.clean(frame.electrons, binary=False, inpaint=False)

    return Method(f"deepCR {model}", score)


def cosmic_conn_method(model="ground_imaging"):
    """
    Adapt the package cosmic-conn, where it is installed.

    Parameters
    ----------
    model : str, optional
        Name of one of its models.

    Returns
    -------
    Method

    Examples
    --------
    >>> from astro_deepcr.evaluation import cosmic_conn_method
    >>> cosmic_conn_method().name
    'Cosmic-CoNN ground_imaging'
    """

    def score(frame):
        from cosmic_conn import init_model

        return init_model(model).detect_cr(frame.electrons)

    return Method(f"Cosmic-CoNN {model}", score)


# name -> how to make it, and the package that it needs
_PEERS = {
    "astroscrappy": (astroscrappy_method, "astroscrappy"),
    "astroscrappy-space": (
        lambda: astroscrappy_method("astroscrappy-space", sepmed=False, objlim=5),
        "astroscrappy",
    ),
    "astroscrappy-ground": (
        lambda: astroscrappy_method("astroscrappy-ground", sepmed=False, objlim=2),
        "astroscrappy",
    ),
    "ccdproc-median": (median_method, "ccdproc"),
    "cosmic-conn": (cosmic_conn_method, "cosmic_conn"),
    "deepcr-package": (deepcr_package_method, "deepCR"),
    "lacosmic": (lacosmic_method, "lacosmic"),
}


def list_methods():
    """
    List the names of the methods that can be used here.

    Returns
    -------
    list of str
        Peers whose package is installed, then the mask weights of the zoo.

    Examples
    --------
    >>> from astro_deepcr.evaluation import list_methods
    >>> "astroscrappy-space" in list_methods(), "acs-wfc" in list_methods()
    (True, True)
    """
    from ..weights import list_weights

    peers = [name for name, (_, package) in _PEERS.items() if find_spec(package)]
    return peers + list_weights("mask")


def get_method(method):
    """
    Return a method by its name.

    Parameters
    ----------
    method : str, path-like, `~astro_deepcr.weights.Weights` or Method
        A name of `list_methods`, weights, or a method (returned as it is).

    Returns
    -------
    Method

    Raises
    ------
    ImportError
        If the package that it needs is not installed.
    ValueError
        If there is no method and are no weights of that name.

    Examples
    --------
    >>> from astro_deepcr.evaluation import get_method
    >>> get_method("astroscrappy-space").threshold
    4.5
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, str) and method in _PEERS:
        make, package = _PEERS[method]
        if find_spec(package) is None:
            msg = f"the method {method!r} needs the package {package}; install it first"
            raise ImportError(msg)
        return make()
    try:
        return network_method(method)
    except ValueError as err:
        msg = (
            f"there is no method {method!r}; give the path of a weights file, or "
            f"choose one of {', '.join(list_methods())}"
        )
        raise ValueError(msg) from err


def _highest_flagging(flag, levels):
    """Score each pixel by the highest level at which it is flagged, 0 if at none."""
    score = 0.0
    for level in sorted(levels):
        score = np.where(flag(level), np.float32(level), np.float32(score))
    return score
