"""What examples/monitoring/ and docs/operations/ say of metrics is what a sidecar exports."""

import json
import re
import subprocess

import pytest
import yaml
from docs_blocks import BLOCKS, DOCS, REPOSITORY

from lighterman.errors import LightermanError
from lighterman.pods.containers import SIDECAR
from sidecar.status import metrics
from sidecar.status.facts import (
    BacklogFacts,
    Facts,
    OutputsFacts,
    Reasons,
    ReconcileFacts,
)

MONITORING = REPOSITORY / "examples" / "monitoring"
ALERTS = MONITORING / "alerts.yaml"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
TARGET_LABELS = {"namespace", "pod", "job", "instance"}
"""Those that scraping adds, as examples/monitoring/scrape.yaml does."""
SAMPLE = re.compile(r"^([a-z]\w*)(?:\{(.*)\})? \S+$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')
USED = re.compile(r"\b((?:lighterman|process)_\w+)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')


def exported():
    """Every metric of a sidecar that has something to say of everything, with its labels."""
    facts = OutputsFacts(
        path="/outputs",
        connection="runs",
        prefix="p",
        phase="watching",
        is_ready=True,
        why_not_ready="",
        uptime_seconds=1.0,
        sent_files=1,
        sent_bytes=1,
        skipped_files=1,
        synced_files=1,
        retries=1,
        uploads_in_flight=1,
        bytes_per_second=1.0,
        files_per_second=1.0,
        grace_seconds=1.0,
        backlog=BacklogFacts(1, 1, False, False, 1.0, 1.0, Reasons()),
        waiting=[],
        failed_files=1,
        failed=[],
        failures={"transient": 1},
        last_sent_timestamp_seconds=1.0,
        recent=[],
        reconciles=ReconcileFacts(1, False, 1.0, 1.0, 1, 1.0),
        watch_overflows=1,
        unwatched_directories=1,
        history=[],
    )
    text, _ = metrics.exposition(Facts("1", [facts]), "text/plain")
    found = {}
    for name, labels in SAMPLE.findall(text.decode()):
        found.setdefault(name, set()).update(LABEL.findall(labels))
    return {name: labels for name, labels in found.items() if not name.endswith("_created")}


EXPORTED = exported()


def expressions():
    """Every PromQL expression of alerts, dashboard and pages, with where it stands."""
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for block in BLOCKS:
        if block.language == "promql":
            yield from (
                (block.place, line) for line in block.text.splitlines() if not line.startswith("#")
            )


EXPRESSIONS = [
    pytest.param(text, id=f"{place}-{index}") for index, (place, text) in enumerate(expressions())
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_uses_metrics_that_exist(expression):
    """By name, and with labels that they have or that scraping gives them."""
    used = USED.findall(expression)
    assert used
    for name, matchers in used:
        assert name in EXPORTED
        assert set() == set(MATCHER.findall(matchers)) - EXPORTED[name] - TARGET_LABELS


def test_the_page_tells_every_metric():
    """The table of docs/status.md is complete, and names no other."""
    page = (DOCS / "status.md").read_text()
    [table] = re.findall(r"## Metrics\n.*?\n(\|.*?)\n\n", page, re.DOTALL)
    named = set(re.findall(r"`(lighterman_\w+)", table))
    assert {name for name in EXPORTED if name.startswith("lighterman_")} == named


def test_the_dashboard_shows_every_metric_of_the_sidecar():
    """So that nothing is exported that nobody ever looks at."""
    shown = {
        name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name, _ in USED.findall(target["expr"])
    }
    ours = {name for name in EXPORTED if name.startswith("lighterman_")} - {"lighterman_build_info"}
    assert set() == ours - shown


def test_the_dashboards_panels_are_apart():
    """No two of them at one place, each with an id of its own, none wider than the grid."""
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not taken & cells
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert sorted(set(ids)) == ids


def kinds(type_=LightermanError):
    return {type_.kind} | {kind for each in type_.__subclasses__() for kind in kinds(each)}


def test_alerts_ask_for_kinds_of_errors_that_there_are():
    """`kind="…"` of an alert is a kind of the table of exit codes."""
    named = set(re.findall(r'kind="(\w+)"', ALERTS.read_text()))
    assert named
    assert set() == named - kinds()


def test_every_alert_is_on_the_page_and_no_other():
    """docs/operations/index.md says what each means and what to do."""
    rules = [
        rule["alert"]
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        for rule in group["rules"]
    ]
    page = (DOCS / "operations" / "index.md").read_text()
    assert re.findall(r"^\| `(Lighterman\w+)` ", page, re.MULTILINE) == rules


def test_the_scrape_configuration_looks_for_the_container_that_render_makes():
    """By its name; a native sidecar's port isn't in the manifest, so it is said here."""
    [job] = yaml.safe_load((MONITORING / "scrape.yaml").read_text())["scrape_configs"]
    kept = [
        each["regex"]
        for each in job["relabel_configs"]
        if "container_name" in each["source_labels"][0]
    ]
    assert [SIDECAR] == kept
    assert {"namespace", "pod"} == {
        each["target_label"] for each in job["relabel_configs"] if "target_label" in each
    } - {"__address__"}


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.promtool
def test_alerts_fire_for_what_they_are_about(tmp_path):
    """Prometheus' own evaluation of the rules over series that tests/alerts_test.yaml gives."""
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", REPOSITORY / "tests" / "alerts_test.yaml")


@pytest.mark.promtool
def test_every_alert_has_a_case():
    """Of one that never fires in a test nobody knows whether it would."""
    rules = [
        rule["alert"]
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        for rule in group["rules"]
    ]
    [test] = yaml.safe_load((REPOSITORY / "tests" / "alerts_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert set(rules) == fired


@pytest.mark.promtool
def test_prometheus_takes_the_dashboards_expressions(tmp_path):
    """As rules, with a value for each of Grafana's variables."""
    texts = [
        re.sub(r"\$(?:namespace|pod|connection)", ".*", text.replace("$__rate_interval", "1m"))
        for place, text in expressions()
        if not place.startswith("variable")
    ]
    rules = [{"record": f"shown:{index}", "expr": text} for index, text in enumerate(texts)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


@pytest.mark.promtool
def test_prometheus_takes_the_scrape_configuration(tmp_path):
    """Debian's promtool knows no Kubernetes: its discovery stands in for by a file of targets."""
    document = yaml.safe_load((MONITORING / "scrape.yaml").read_text())
    [job] = document["scrape_configs"]
    assert [{"role": "pod"}] == job.pop("kubernetes_sd_configs")
    job["static_configs"] = [{"targets": ["127.0.0.1:9464"]}]
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(document))
    promtool("check", "config", file)
