"""The shell line that several calls of the initializer stand in, and the first of them that failed."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from lighterman.errors import (
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    LightermanError,
    SourceMissingError,
    TransientError,
    UntrustedDataError,
    UsageError,
)

_ERRORS: Final[dict[int, type[LightermanError]]] = {
    int(kind.exit_code): kind
    for kind in (
        UsageError,
        UntrustedDataError,
        SourceMissingError,
        CannotWriteError,
        TransientError,
        CredentialsError,
        ConfigurationError,
    )
}


class _Failed(msgspec.Struct, frozen=True):
    """What a call ended with."""

    code: int
    message: str
    hint: str


class Line:
    """
    ``sh -c`` with a line of calls goes on after one that failed, and ends with the code of the last. Called by
    anything else (a person's own shell), this notes nothing.
    """

    def __init__(self) -> None:
        self._path = _path()

    def check(self) -> None:
        """Raise what an earlier call of the line ended with."""
        if self._path is None:
            return
        try:
            failed = msgspec.json.decode(self._path.read_bytes(), type=_Failed)
        except (OSError, msgspec.MsgspecError):
            return
        error = _ERRORS.get(failed.code, LightermanError)
        raise error(f"not tried: an earlier call failed: {failed.message}", hint=failed.hint)

    def note(self, error: LightermanError) -> None:
        """Let the calls after this one know."""
        if self._path is None:
            return
        failed = _Failed(int(error.exit_code), error.message, error.hint)
        with contextlib.suppress(
            OSError
        ):  # where nothing can be written, the last call's code counts
            self._path.write_bytes(msgspec.json.encode(failed))


def _path() -> Path | None:
    """A file of this line's own: named by the shell's process and its start."""
    parent = os.getppid()
    try:
        command = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        begun = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
    is_line = b"-c" in command and any(b" initializer " in part for part in command)
    return Path(tempfile.gettempdir()) / f"lighterman-line-{parent}-{begun}" if is_line else None
