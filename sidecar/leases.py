"""Of which files the kernel may be asked whether somebody has them open for writing (``Output.is_being_written``)."""

import os
from pathlib import Path
from typing import Final

from sidecar.journal_file import on_network

_CAP_LEASE: Final = 28
"""linux/capability.h"""


class Leases:
    """
    ``are_believed`` is false on network filesystems and FUSE: a lease knows nothing of writers on other
    machines there, and some (NFS 4 without a delegation) refuse it for every file, open or not.
    """

    def __init__(self, root: str, mountinfo: str = "/proc/self/mountinfo") -> None:
        self.are_believed = not on_network(root, mountinfo)
        self._may_ask_of_all = _has_capability(_CAP_LEASE)

    def may_ask_of(self, owner: int) -> bool:
        """Whether a lease tells about files of this uid: its own, or all with CAP_LEASE."""
        return self.are_believed and (self._may_ask_of_all or owner == os.geteuid())


def _has_capability(number: int) -> bool:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    except OSError:  # no /proc: only its own files
        pass
    return False
