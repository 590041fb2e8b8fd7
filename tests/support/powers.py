"""``cldc`` without root's power over every file: ``python -m tests.support.powers ARGUMENT...``

Root may write to a read-only folder and read any file, so tests that run as root would see no trouble. A root without
capabilities is held to what files and folders allow their owner, as everyone else is.
"""

from __future__ import annotations

import ctypes
import os

from cldc.__main__ import main

_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two sets of 32
_DROP_FROM_BOUNDING_SET = 24  # PR_CAPBSET_DROP
_MOST_CAPABILITIES = 64


def give_up_powers() -> None:
    """Be held to the modes of files from now on, and so are all programs that this process starts."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(_MOST_CAPABILITIES):
        libc.prctl(_DROP_FROM_BOUNDING_SET, number, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    if libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "root's capabilities can't be dropped")


if __name__ == "__main__":
    give_up_powers()
    main()
