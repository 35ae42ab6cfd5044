"""The policy that all transfers of one process share, as the flags give it."""

import msgspec


class TransferSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults are the contract's."""

    memory_bytes: int = 256 * 1024 * 1024
    """One budget for every buffer (``--memory``)."""
    retry_seconds: float = 300.0
    """How long transient trouble with one file is retried before it ends the command (``--retry-for``)."""
    stall_seconds: float = 60.0
    """A transfer without a byte for so long is cut and tried again (``--stall-timeout``)."""
    bytes_per_second: int = 0
    """What all transfers together may carry, in both directions (``--bwlimit``); 0: no limit."""
