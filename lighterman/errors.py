"""
The errors that a user can see, each with the exit code and the kind that the contract gives it.

Three kinds decide about retries: *permanent* (never), *transient* (again, until the deadline) and
*source changed* (again from the start, at no cost of an attempt). Whatever an SDK or the operating
system raises becomes one of these at the edge where it is met, ``raise … from`` the original.
"""

from enum import IntEnum, StrEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process ends with; the numbers of ``sysexits.h``, so that policies can tell them apart."""

    DONE = 0
    USAGE = 64
    UNTRUSTED_DATA = 65
    SOURCE_MISSING = 66
    BUG = 70
    CANNOT_WRITE = 73
    TRY_AGAIN = 75
    REFUSED = 77
    CONFIGURATION = 78


class Retry(StrEnum):
    """Whether, and how, the same thing may be tried again."""

    NEVER = "permanent"
    LATER = "transient"
    FROM_THE_START = "source changed"


class LightermanError(Exception):
    """
    Anything that a user is told about.

    ``message`` says what and where in one line, ``hint`` how to mend it, ``kind`` is the stable slug
    of reports and metrics. ``connection`` and ``key`` name the place where they are known.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG
    retry: ClassVar[Retry] = Retry.NEVER
    kind: ClassVar[str] = "bug"
    usual_hint: ClassVar[str] = "please report it, with the log"
    """How to mend it, where whoever raises it knows nothing better: no error is without."""

    def __init__(
        self, message: str, *, hint: str = "", connection: str = "", key: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.connection = connection
        self.key = key


class UsageError(LightermanError):
    """The command line is off (64)."""

    exit_code = ExitCode.USAGE
    kind = "usage"
    usual_hint = "--help lists the flags"


class ConfigurationError(LightermanError):
    """The catalog, the job spec or a setting is off (78)."""

    exit_code = ExitCode.CONFIGURATION
    kind = "configuration"
    usual_hint = "correct it there"


class BucketMissingError(ConfigurationError):
    """The connection names a bucket (or a volume) that isn't there (78)."""

    kind = "bucket_missing"
    usual_hint = "correct the place that the connection names, or create it"


class CredentialsError(LightermanError):
    """Credentials are missing, wrong or without the permission (77)."""

    exit_code = ExitCode.REFUSED
    kind = "credentials"
    usual_hint = "check the credentials of the connection"


class NoCredentialsError(CredentialsError):
    """Nothing says how to log in, and nobody gives this machine or pod an identity (77)."""


class SourceMissingError(LightermanError):
    """A declared source, or an object asked for, isn't there (66)."""

    exit_code = ExitCode.SOURCE_MISSING
    kind = "source_missing"
    usual_hint = "correct what is declared, or bring it there"


class UntrustedDataError(LightermanError):
    """Bytes that fail their checksum, or a key that can't be placed safely (65)."""

    exit_code = ExitCode.UNTRUSTED_DATA
    kind = "untrusted_data"
    usual_hint = "look at the object that is named"


class ConflictError(UntrustedDataError):
    """What someone else wrote is in the place of what should be written, and isn't to be replaced (65)."""

    kind = "conflict"
    usual_hint = "let one writer alone write there"


class CannotWriteError(LightermanError):
    """No space, no permission or no such place to write; an output that can't be read (73)."""

    exit_code = ExitCode.CANNOT_WRITE
    kind = "cannot_write"
    usual_hint = "check the space, the permissions and this container's user"


class TransientError(LightermanError):
    """Trouble that may pass by itself: 5xx, a reset, a timeout, a stall, a body cut short (75)."""

    exit_code = ExitCode.TRY_AGAIN
    retry = Retry.LATER
    kind = "transient"
    usual_hint = "start it again: it goes on from where it was"


class SlowDownError(TransientError):
    """The store asks for fewer requests: 429, 503 SlowDown (75). Lowers the concurrency."""

    kind = "slow_down"
    usual_hint = "let fewer processes use the store at once, or start it again later"


class DeadlineError(LightermanError):
    """Time ran out before everything was done; another start goes on from here (75)."""

    exit_code = ExitCode.TRY_AGAIN
    kind = "deadline"
    usual_hint = "start it again: it goes on from where it was"


class SourceChangedError(LightermanError):
    """What is being read is no longer what it was when the reading began (75 if it never rests)."""

    exit_code = ExitCode.TRY_AGAIN
    retry = Retry.FROM_THE_START
    kind = "source_changed"
    usual_hint = "start it again when nothing writes to it any more"


class ConditionFailedError(LightermanError):
    """A conditional write found another state in the store than the one it was told to expect (75)."""

    exit_code = ExitCode.TRY_AGAIN
    kind = "condition_failed"
    usual_hint = "let nobody else write there, and start it again"


class UploadMissingError(LightermanError):
    """The store doesn't know the multipart upload any more: finished, aborted or expired (75)."""

    exit_code = ExitCode.TRY_AGAIN
    kind = "upload_missing"
    usual_hint = "start it again: it is uploaded anew"
