"""Both targets of the Dockerfile: what they say of themselves, as whom they run, and that they carry."""

import json
import secrets

import pytest
from catalogs import NAME, write_catalog
from pods import LIMIT, RESTRICTED, Pod, podman, run_python

pytestmark = pytest.mark.image

ENTRIES = {
    "image": ["/entrypoint.sh"],
    "shell_less_image": ["python", "-m", "lighterman"],
}
BASES = (
    "localhost/lighterman-base:3.13-slim",
    "localhost/lighterman-shell-less-base:3.13",
)
OPENSHIFT = "1000640000:0"
"""A uid that no passwd entry knows, in the group that OpenShift gives every container."""
PLACES = ["s3_bucket", "gcs_bucket", "azure_container"]


@pytest.mark.parametrize("name", ENTRIES)
def test_an_image_says_what_it_is(request, name):
    """OCI labels, a user that isn't root, its entry, and the health check."""
    image = request.getfixturevalue(name)
    config = json.loads(podman("inspect", "--format", "{{json .Config}}", image))
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
    }
    assert (labels["title"], labels["licenses"]) == ("lighterman", "Apache-2.0")
    assert labels["version"] in run_python(
        image, "import lighterman; print(lighterman.__version__)"
    )
    assert labels["revision"]
    assert labels["base.name"] in BASES
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ENTRIES[name]
    check = json.loads(podman("image", "inspect", "--format", "{{json .HealthCheck}}", image))
    assert check["Test"] == ["CMD", *ENTRIES[name], "ready"]


def test_its_bill_of_materials_names_what_is_installed(target):
    """CycloneDX: each distribution with its version, and none that was left out."""
    code = """
import importlib.metadata, json
bill = json.load(open("/opt/lighterman/sbom.cdx.json"))
there = sorted((each.name, each.version) for each in importlib.metadata.distributions())
print(json.dumps([bill["bomFormat"], [(c["name"], c["version"]) for c in bill["components"]], there]))
"""
    form, named, there = json.loads(run_python(target, code))
    assert form == "CycloneDX"
    assert sorted(named) == there
    assert "lighterman" in dict(named)
    assert "boto3" not in dict(named)


def test_a_base_without_a_shell_has_none(shell_less_image):
    """Nor anything else to look around with."""
    code = "import os; print(*sorted(os.listdir('/usr/bin')), os.path.exists('/bin/sh'))"
    assert run_python(shell_less_image, code).split() == ["python3.13", "False"]


@pytest.mark.parametrize("place", PLACES)
def test_an_arbitrary_uid_carries_out_and_in_with_a_read_only_root(
    request, target, place, tmp_path
):
    """Out to each cloud and back, without capabilities, in the root's group: what was left out isn't missed."""
    bucket = request.getfixturevalue(place)
    directory = tmp_path / "pod"
    for name in ("catalog", "outputs", "in"):
        (directory / name).mkdir(parents=True)
        (directory / name).chmod(0o777)
    write_catalog(directory / "catalog" / "connections.yaml", bucket.connection(NAME))
    (directory / "outputs" / "small").write_text("of a few bytes")
    (directory / "outputs" / "large").write_bytes(secrets.token_bytes(20 << 20))

    def run(*arguments):
        podman(
            *("run", "--rm", "--network", "host", "--user", OPENSHIFT, *RESTRICTED, *LIMIT),
            *("--volume", f"{directory / 'catalog'}:/etc/lighterman:ro"),
            *("--volume", f"{directory / 'outputs'}:/outputs"),
            *("--volume", f"{directory / 'in'}:/in"),
            *(target, *arguments),
        )

    run("check", NAME, "--write", "--retry-for", "5")
    run("sync", "--connection", NAME, "--path", "/outputs", "--to", "out")
    assert bucket.contents("out/") == {"out/large": 20 << 20, "out/small": 14}
    run("init", "--connection", NAME, "--dir", "out:.", "--to", "/in")
    for name in ("small", "large"):
        assert (directory / "in" / name).read_bytes() == (directory / "outputs" / name).read_bytes()


@pytest.fixture
def target_pod(target, s3_bucket, tmp_path):
    """A pod of an arbitrary uid."""
    bucket = s3_bucket._replace(secret_access_key=secrets.token_urlsafe(30))
    pod = Pod(target, tmp_path, bucket, 1000640000)
    yield pod
    pod.remove()


def healthy(name):
    """What the health check says when it is asked."""
    return podman("healthcheck", "run", name, check=False).strip() == ""


def test_a_sidecar_is_healthy_once_it_watches(target_pod):
    """The check finds by itself how the container was started, as its user, with a read-only root."""
    sidecar = target_pod.start("sidecar", "--connection", "bucket", "--path", "/outputs")
    target_pod.wait_for(sidecar, "sidecar.started")
    assert healthy(sidecar)
    assert podman("exec", sidecar, "python", "-m", "lighterman", "ready") == ""


def test_an_outputs_path_that_nobody_has_is_not_ready(target_pod):
    """75, and a line that says what is missing where."""
    sidecar = target_pod.start("sidecar", "--connection", "bucket", "--path", "/outputs")
    target_pod.wait_for(sidecar, "sidecar.started")
    code = """
import subprocess, sys
ready = [sys.executable, "-m", "lighterman", "ready", "--path", "/data"]
done = subprocess.run(ready, capture_output=True, text=True)
print(done.returncode, done.stderr)
"""
    said = podman("exec", sidecar, "python", "-c", code)
    assert said.startswith("75 {")
    assert "no sidecar has the journal in /data/.lighterman open" in said


def test_an_init_is_healthy_as_long_as_it_runs(target_pod):
    """Whatever it waits for: nothing is restarted for a store that is away."""
    init = target_pod.start(
        *("init", "s3://bucket/model", "/data", "--retry-for", "120"),
        environ={"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x"}
        | {"AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1"},
    )
    assert healthy(init)
    assert podman("inspect", "--format", "{{.State.Running}}", init).strip() == "true"
