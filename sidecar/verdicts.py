"""What a sync's end amounts to, in words and as an error. Pure."""

from collections.abc import Mapping, Sequence

from lighterman.errors import DeadlineError, LightermanError, UntrustedDataError
from sidecar.options import Options
from sidecar.states import RelPath, key_of, printable


def too_late(
    options: Options,
    connection: str,
    missing: Sequence[RelPath],
    *,
    otherwise: str,
    is_told_now: bool,
    is_main_running: bool,
    is_walking: bool,
) -> DeadlineError:
    """The grace was over, or a second signal came, with this not in the bucket; ``otherwise`` with that undone."""
    said = (
        "a second signal said now"
        if is_told_now
        else f"the grace of {options.grace_seconds:g} s was over"
    )
    what = otherwise
    if missing:
        what = f"{len(missing)} outputs not in the bucket yet ({printable(missing[0])} …)"
    if is_main_running:
        what += ", and CMD has not ended"
    more = " and the last walk not finished" if is_walking else ""
    return DeadlineError(
        f"{said} with {what}{more}",
        hint="another start with the same --state, or lighterman sync, finishes; "
        "a longer --grace (and terminationGracePeriodSeconds) gives more time",
        connection=connection,
    )


def not_listed(options: Options, connection: str, missing: Sequence[RelPath]) -> UntrustedDataError:
    """The store took these, and doesn't list them as sent."""
    return UntrustedDataError(
        f"{len(missing)} outputs were taken by the store and are not in its listing as sent",
        hint="another writer at the same prefix? give each its own --to",
        connection=connection,
        key=key_of(options.prefix, missing[0]),
    )


def first_of(failed: Mapping[RelPath, LightermanError]) -> LightermanError:
    """The first failure that stayed, and how many others did."""
    first = next(iter(failed.values()))
    others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return type(first)(
        first.message + others, hint=first.hint, connection=first.connection, key=first.key
    )
