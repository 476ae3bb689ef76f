# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Public names that are imported when they are first used (PEP 562)."""

from importlib import import_module

__all__ = []


def attach(package, public, others=()):
    """
    Make the ``__getattr__`` and ``__dir__`` of a package with lazy names.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    public : dict
        Public name -> name of the module below ``package`` that defines it.
    others : list of str, optional
        Public names that the package defines itself.

    Returns
    -------
    getattr_, dir_ : callable
        To be bound to ``__getattr__`` and ``__dir__`` of the package.
    """

    def getattr_(name):
        if name in public:
            return getattr(import_module(f".{public[name]}", package), name)
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    def dir_():
        return sorted({*public, *others})

    return getattr_, dir_
