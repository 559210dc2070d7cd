"""Who said what a frame holds of a lead: this machine, which read its website, or the service.

What was found here is kept, and what was not found here may still be bought; what the service did
not find is not asked for again. A receipt tells the two apart: its ``here`` is True where all of
it was said here, null where nothing was, and else a text that knows the leads.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from leads_pandas.frames.columns import Mask


class Origin(NamedTuple):
    """What a receipt says of the leads that this machine answered."""

    here: str | bool | None = None  # the receipt's `here`
    credits_saved: int = 0  # how many leads with an email were not bought for it


def said_here(receipt: Mapping[str, Any], unique: Sequence[str]) -> Mask:
    """Which of these leads were answered here, as a receipt has it."""
    here = receipt.get("here")
    if not isinstance(here, str):
        return np.full(len(unique), here is True, dtype=np.bool_)
    try:
        known = np.frombuffer(zlib.decompress(base64.b85decode(here)), np.dtype("<u4"))
    except (ValueError, zlib.error):  # not as we wrote it
        return np.zeros(len(unique), dtype=np.bool_)
    found: Mask = np.isin(_keys(unique), known)
    return found


def origin(unique: Sequence[str], here: Mask, found: Mask, *, whole: bool) -> Origin:
    """What the receipt is to say of leads that were answered here, and that have an email.

    ``whole``: nothing that the frame holds is from anywhere else.
    """
    saved = int(np.count_nonzero(here & found))
    if whole and here.all():
        return Origin(bool(len(unique)) or None, saved)
    if not here.any():
        return Origin()
    known = np.unique(_keys([unique[one] for one in np.flatnonzero(here).tolist()]))
    return Origin(base64.b85encode(zlib.compress(known.tobytes())).decode(), saved)


def _keys(lead_ids: Sequence[str]) -> Any:
    # Half a megabyte for 100,000 leads, and one in 40,000 of the others is taken for one of them:
    # if it was bought, asking for it again costs nothing.
    return np.fromiter((zlib.crc32(one.encode()) for one in lead_ids), np.dtype("<u4"))
