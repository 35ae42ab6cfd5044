"""``/metrics``: the facts in Prometheus' text format, or OpenMetrics where that is asked for."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from lighterman.secret import scrub
from sidecar.status.facts import Facts, OutputsFacts, Reasons

_LABELS: Final = ("path", "connection", "prefix")
_Family: TypeAlias = type[CounterMetricFamily] | type[GaugeMetricFamily]


class _Row(NamedTuple):
    """One metric that has one value for each outputs path, or none."""

    family: _Family
    name: str
    help: str
    value: Callable[[OutputsFacts], float | None]


_ROWS: Final = (
    _Row(
        CounterMetricFamily,
        "sent_files",
        "Files and directory markers that were brought into the bucket.",
        lambda each: each.sent_files,
    ),
    _Row(
        CounterMetricFamily,
        "sent_bytes",
        "Bytes that the store took, those of attempts that came to nothing included.",
        lambda each: each.sent_bytes,
    ),
    _Row(
        CounterMetricFamily,
        "skipped_files",
        "Files that were found to be in the bucket as they are.",
        lambda each: each.skipped_files,
    ),
    _Row(
        GaugeMetricFamily,
        "synced_files",
        "Files and directory markers that the journal has as being in the bucket.",
        lambda each: each.synced_files,
    ),
    _Row(
        GaugeMetricFamily,
        "backlog_files",
        "Files that are not in the bucket yet, as far as they are known.",
        lambda each: each.backlog.files,
    ),
    _Row(
        GaugeMetricFamily,
        "backlog_bytes",
        "Bytes of the files that are not in the bucket yet; of more than 1,000 files an estimate.",
        lambda each: each.backlog.bytes,
    ),
    _Row(
        GaugeMetricFamily,
        "backlog_needed_seconds",
        "Time that the backlog takes at the measured rate; absent until something was sent.",
        lambda each: each.backlog.needed_seconds,
    ),
    _Row(
        GaugeMetricFamily,
        "behind_seconds",
        "Age of the oldest change whose time to be sent has come.",
        lambda each: each.backlog.behind_seconds,
    ),
    _Row(
        GaugeMetricFamily,
        "grace_seconds",
        "Time from SIGTERM to SIGKILL, as --grace says.",
        lambda each: each.grace_seconds,
    ),
    _Row(
        GaugeMetricFamily,
        "uploads_in_flight",
        "Files that are being sent.",
        lambda each: each.uploads_in_flight,
    ),
    _Row(
        GaugeMetricFamily,
        "rate_bytes_per_second",
        "Throughput while something is sent, the last minute counting most.",
        lambda each: each.bytes_per_second,
    ),
    _Row(
        GaugeMetricFamily,
        "rate_files_per_second",
        "Files a second while something is sent, the last minute counting most.",
        lambda each: each.files_per_second,
    ),
    _Row(
        CounterMetricFamily,
        "retries",
        "Attempts that were made again.",
        lambda each: each.retries,
    ),
    _Row(
        GaugeMetricFamily,
        "failed_files",
        "Files whose latest attempt failed.",
        lambda each: each.failed_files,
    ),
    _Row(
        GaugeMetricFamily,
        "last_sent_timestamp_seconds",
        "When a file was last sent; absent until one was.",
        lambda each: each.last_sent_timestamp_seconds,
    ),
    _Row(
        CounterMetricFamily,
        "reconciles",
        "Walks over the whole path that ended.",
        lambda each: each.reconciles.count,
    ),
    _Row(
        GaugeMetricFamily,
        "last_reconcile_duration_seconds",
        "How long the last walk looked; absent until one ended.",
        lambda each: each.reconciles.last_duration_seconds,
    ),
    _Row(
        GaugeMetricFamily,
        "last_reconcile_age_seconds",
        "Time since the last walk ended; absent until one did.",
        lambda each: each.reconciles.last_seconds_ago,
    ),
    _Row(
        CounterMetricFamily,
        "watch_overflows",
        "Times that the kernel's queue of events was too short; each is followed by a reconcile.",
        lambda each: each.watch_overflows,
    ),
    _Row(
        GaugeMetricFamily,
        "unwatched_directories",
        "Directories for which the kernel gave no watch.",
        lambda each: each.unwatched_directories,
    ),
    _Row(
        GaugeMetricFamily,
        "ready",
        "Whether /readyz says so.",
        lambda each: each.is_ready,
    ),
)
"""Names and units by https://prometheus.io/docs/practices/naming/; counters get their ``_total`` from the client."""


def exposition(facts: Facts, accept: str) -> tuple[bytes, str]:
    """The text, and its content type, in the newest form that the ``Accept`` header takes."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Told(_families(facts)))
    encode, content_type = choose_encoder(accept)
    return scrub(encode(registry).decode()).encode(), content_type


class _Told(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(facts: Facts) -> Iterator[Metric]:
    yield InfoMetricFamily("lighterman_build", "The program.", {"version": facts.version})
    for row in _ROWS:
        family = row.family(f"lighterman_{row.name}", row.help, labels=_LABELS)
        for each in facts.outputs:
            value = row.value(each)
            if value is not None:
                family.add_metric(_labels(each), value)
        yield family
    waiting = GaugeMetricFamily(
        "lighterman_waiting_files",
        "Files that are not in the bucket yet, by what they wait for.",
        labels=[*_LABELS, "reason"],
    )
    failures = CounterMetricFamily(
        "lighterman_failures",
        "Attempts at a file that failed, by the kind of the error.",
        labels=[*_LABELS, "kind"],
    )
    for each in facts.outputs:
        for reason in Reasons.__struct_fields__:
            count = getattr(each.backlog.reasons, reason)
            waiting.add_metric([*_labels(each), reason], count)
        for kind, count in sorted(each.failures.items()):
            failures.add_metric([*_labels(each), kind], count)
    yield waiting
    yield failures


def _labels(each: OutputsFacts) -> tuple[str, str, str]:
    return each.path, each.connection, each.prefix
