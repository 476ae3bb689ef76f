# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Bits that observatories, and our labels, give to cosmic rays."""

from astropy.nddata.bitmask import extend_bit_flag_map

__all__ = [
    "BANZAI",
    "COSMIC_RAY_BITS",
    "HST",
    "JWST",
    "MASK_BITS",
    "ROMAN",
    "parse_flag_bit",
]

#: ACS and WFC3/UVIS of the Hubble Space Telescope; its other instruments give some of
#: these bits to other things. AstroDrizzle (4096) and the combination of CR-splits
#: (8192) set those of cosmic rays.
HST = extend_bit_flag_map(
    "HST",
    FILL=2,
    BAD_PIXEL=4,
    HOT=16,
    WARM=64,
    BAD_COLUMN=128,
    SATURATED=256,
    AD_SATURATED=2048,
    CR_DRIZZLE=4096,
    CR_SPLIT=8192,
)
#: James Webb Space Telescope.
JWST = extend_bit_flag_map("JWST", DO_NOT_USE=1, SATURATED=2, JUMP_DET=4)
#: Nancy Grace Roman Space Telescope.
ROMAN = extend_bit_flag_map("ROMAN", DO_NOT_USE=1, SATURATED=2, JUMP_DET=4)
#: Las Cumbres Observatory's pipeline BANZAI.
BANZAI = extend_bit_flag_map("BANZAI", BAD_PIXEL=1, SATURATED=2, COSMIC_RAY=8)
#: The array MASK in files of labelled frames, see `astro_deepcr.training`.
MASK_BITS = extend_bit_flag_map("MASK_BITS", COSMIC_RAY=1, IGNORE=2, HOT=4)

#: Names that the argument ``flag_bit`` understands.
COSMIC_RAY_BITS = {
    "hst": HST.CR_DRIZZLE,
    "hst-crsplit": HST.CR_SPLIT,
    "jwst": JWST.JUMP_DET,
    "roman": ROMAN.JUMP_DET,
    "banzai": BANZAI.COSMIC_RAY,
}


def parse_flag_bit(flag_bit):
    """
    Turn a bit or its name into the value of the bit.

    Parameters
    ----------
    flag_bit : int or str
        A power of two (4096, not 12), or a name of `COSMIC_RAY_BITS`.

    Returns
    -------
    bit : int
        The value of the bit.

    Raises
    ------
    TypeError
        If ``flag_bit`` is neither an integer nor a string.
    ValueError
        If it is not a power of two below 2**63, or the name is not known.

    Examples
    --------
    >>> from astro_deepcr.flags import parse_flag_bit
    >>> parse_flag_bit('hst'), parse_flag_bit(8)
    (4096, 8)
    """
    if isinstance(flag_bit, str):
        try:
            return int(COSMIC_RAY_BITS[flag_bit.lower()])
        except KeyError:
            names = ", ".join(sorted(COSMIC_RAY_BITS))
            msg = f"flag_bit={flag_bit!r} is not known; choose one of {names}."
            raise ValueError(msg) from None
    try:
        bit = flag_bit.__index__()
    except AttributeError:
        msg = f"flag_bit={flag_bit!r} must be an integer or a name."
        raise TypeError(msg) from None
    if isinstance(flag_bit, bool) or bit < 1 or bit & (bit - 1) or bit >= 2**63:
        msg = (
            f"flag_bit={flag_bit!r} must be one bit given by its value, a power of "
            "two such as 4096."
        )
        raise ValueError(msg)
    return bit
