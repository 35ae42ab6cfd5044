"""Whether the outputs that are there could be sent within the grace period, at the rate that a probe had."""

import os
from typing import Final

from lighterman.checking.findings import Findings, State

CHECK: Final = "grace"


def usable_seconds(grace_seconds: float) -> float:
    """What a drain has of the grace: less the margin in which the report is written."""
    from sidecar.drain import Ending

    return Ending(0.0, grace_seconds).deadline


def check_grace(
    path: str, grace_seconds: float, rate_bytes_per_second: float | None, findings: Findings
) -> None:
    """
    All of the outputs, one after another, at the rate of the probe's one part: more than a drain has to
    send after a job that was synced all along, so too little is a warning.
    """
    if usable_seconds(grace_seconds) <= 0:
        said = f"{grace_seconds:g} s leave no time to send anything"
        hint = "set terminationGracePeriodSeconds, and --grace to the same"
        findings.tell(path, CHECK, State.WARNING, said, hint)
        return
    if rate_bytes_per_second is None:
        said = f"{grace_seconds:g} s; no rate is known, since nothing was uploaded"
        findings.tell(path, CHECK, State.SKIPPED, said)
        return
    size_bytes = _size_bytes(path)
    fits_bytes = rate_bytes_per_second * usable_seconds(grace_seconds)
    rate = f"{rate_bytes_per_second / 1e6:.1f} MB/s"
    if size_bytes > fits_bytes:
        seconds = size_bytes / rate_bytes_per_second
        said = (
            f"{size_bytes / 1e6:.0f} MB of outputs take {seconds:.0f} s at the {rate} that one part "
            f"had; the grace is {grace_seconds:g} s"
        )
        hint = (
            "raise terminationGracePeriodSeconds and --grace; what a drain doesn't finish, the next "
            "start with the same --state does"
        )
        findings.tell(path, CHECK, State.WARNING, said, hint)
        return
    said = f"{grace_seconds:g} s are {fits_bytes / 1e6:.0f} MB at the {rate} that one part had"
    findings.tell(path, CHECK, State.OK, f"{said}; {size_bytes / 1e6:.0f} MB are there")


def _size_bytes(path: str) -> int:
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except OSError:  # gone since
                continue
    return total
