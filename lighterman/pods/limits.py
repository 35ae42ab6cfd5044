"""What Kubernetes' API refuses though its schemas take it: names, counts, and counts that don't go together."""

import re
from typing import Final

from lighterman.pods.read import Written

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A name of RFC 1123 (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/)."""
MOST: Final = 2**31 - 1
_COUNTS: Final = (
    *("completions", "parallelism", "backoff_limit", "backoff_limit_per_index"),
    *("max_failed_indexes", "active_deadline_seconds", "ttl_seconds_after_finished"),
)


def check_limits(written: Written) -> None:
    """``ConfigurationError`` names the place."""
    _check_names(written)
    _check_counts(written)
    _check_indexes(written)


def _check_names(written: Written) -> None:
    container = written.run.container
    names = [(written.place("container", "name"), container.name)]
    if written.top.namespace is not None:
        names.append(("namespace", written.top.namespace))
    names += [
        (written.place("volumes", index, "name"), volume.name)
        for index, volume in enumerate(written.run.volumes or ())
    ]
    for place, name in names:
        if not _LABEL.fullmatch(name):
            written.fail(
                place,
                f"{name!r} is no name that Kubernetes takes there",
                "small letters, digits and dashes, at most 63, no dash at its ends",
            )
    if not container.image.strip():
        written.fail(written.place("container", "image"), "empty", "give main's image")


def _check_counts(written: Written) -> None:
    for field in type(written.run).__struct_fields__:
        number = getattr(written.run, field)
        if field in _COUNTS and number is not None and not 0 <= number <= MOST:
            name = re.sub("_(.)", lambda match: match[1].upper(), field)
            written.fail(
                written.place(name),
                f"{number} is too {'small' if number < 0 else 'great'}",
                f"a whole number from 0 to {MOST}",
            )


def _check_indexes(written: Written) -> None:
    """https://kubernetes.io/docs/concepts/workloads/controllers/job/#backoff-limit-per-index."""
    run = written.run
    place = written.place("backoffLimitPerIndex")
    if run.backoff_limit_per_index is not None:
        if not written.is_indexed:
            written.fail(
                place,
                "only an Indexed Job has indexes",
                f"say how many pods there are: {written.place('completions')}",
            )
        if written.environment.restart_policy == "OnFailure":
            written.fail(
                place,
                f"goes with {written.place('environment', 'restartPolicy')}: Never only",
                "take one of them out",
            )
    elif run.max_failed_indexes is not None:
        written.fail(
            written.place("maxFailedIndexes"),
            "stands without backoffLimitPerIndex",
            f"say {place} too",
        )
