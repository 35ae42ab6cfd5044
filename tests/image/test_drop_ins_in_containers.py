"""The drop-ins' command lines, in containers of the image: KServe's, Polyaxon's, and the lines for `docker run`."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from pods import CONTAINERS, DEADLINE_SECONDS, podman

pytestmark = pytest.mark.image

DOCKER_RUN = CONTAINERS.parent / "examples" / "drop-ins" / "docker-run.md"


@pytest.fixture
def environ(s3_bucket):
    """What logs in, as a shell or a controller has it."""
    return {
        "AWS_ACCESS_KEY_ID": s3_bucket.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3_bucket.secret_access_key,
        "AWS_REGION": s3_bucket.region,
        "AWS_ENDPOINT_URL": s3_bucket.endpoint,
    }


@pytest.fixture
def line(image, environ, s3_bucket, tmp_path):
    """Runs a line of docker-run.md as it stands there, with a ``docker`` that is podman in the host's network."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        "#!/bin/sh\nshift\n"
        f'exec {CONTAINERS / "podman"} run --network host "$@"\n'  # `run` was shifted away
    )
    docker.chmod(0o755)

    def run(command):
        text = re.sub(r" \\\n +", " ", DOCKER_RUN.read_text())
        (found,) = re.findall(rf"^docker run .* lighterman {command} .*$", text, re.MULTILINE)
        found = found.replace(" lighterman ", f" {image} ")
        return subprocess.run(
            ["/bin/sh", "-c", found],
            cwd=tmp_path,
            env=environ
            | {
                "PATH": f"{docker.parent}:{os.environ['PATH']}",
                "BUCKET": s3_bucket.name,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_lines_for_docker_run_do_what_they_say(line, s3_bucket, tmp_path):
    """check, in, out, and what went out compared; files belong to whoever ran them."""
    s3_bucket.put("inputs/a/b.txt", b"in")
    for name in ("inputs", "outputs"):
        (tmp_path / name).mkdir()
    (tmp_path / "outputs" / "metrics.json").write_text("{}")
    for command in ("check", "init", "sync", "verify"):
        done = line(command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    brought = tmp_path / "inputs" / "a" / "b.txt"
    assert (brought.read_bytes(), brought.stat().st_uid) == (b"in", os.getuid())
    assert s3_bucket.get("runs/1/metrics.json") == b"{}"


def test_the_sidecars_line_ends_by_its_done_file(line, s3_bucket, tmp_path):
    """What was written before it is in the bucket, itself isn't."""
    (tmp_path / "outputs").mkdir()
    started = line("sidecar")
    assert started.returncode == 0, started.stderr
    try:
        (tmp_path / "outputs" / "late.txt").write_text("late")
        _wait_for("lighterman-sidecar", "sidecar.started")
        (tmp_path / "outputs" / ".done").touch()
        podman("wait", "lighterman-sidecar", check=False)  # by then it may be gone: --rm
    finally:
        podman("rm", "--force", "--ignore", "--time", "0", "lighterman-sidecar")
    assert s3_bucket.keys() == ["runs/2/late.txt"]


def _wait_for(name, text):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while text not in _log(name):
        assert time.monotonic() < deadline, f"no {text!r} in time:\n{_log(name)}"


def _log(name):
    done = subprocess.run(
        [CONTAINERS / "podman", "logs", name], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def container(image, environ, *arguments, options=()):
    """A container with these variables, in the host's network, which is removed at its end."""
    done = subprocess.run(
        [
            CONTAINERS / "podman",
            *("run", "--rm", "--network", "host", "--read-only", "--user", "1000640000"),
            *(f"--env={name}={value}" for name, value in environ.items()),
            *options,
            image,
            *arguments,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def volume(tmp_path):
    """A directory that any uid may write, as an emptyDir with an fsGroup."""
    path = tmp_path / "volume"
    path.mkdir()
    path.chmod(0o777)
    return path


def test_kserve_calls_the_image_with_nothing_but_uri_and_dest(image, environ, s3_bucket, volume):
    """The image's own entry gets the args of KServe's controller."""
    s3_bucket.put("model/weights.bin", b"weights")
    code, log = container(
        image,
        environ,
        f"s3://{s3_bucket.name}/model",
        "/mnt/models",
        options=[f"--volume={volume}:/mnt/models"],
    )
    assert code == 0, log
    assert (volume / "weights.bin").read_bytes() == b"weights"


def test_the_image_has_polyaxons_name_for_the_program(image, environ, s3_bucket, volume):
    """Polyaxon's command is `/bin/sh -c "…; polyaxon initializer path …;"`, whatever the image's entry is."""
    s3_bucket.put("store/train/a", b"a")
    entry = {
        "name": "store",
        "kind": "s3",
        "schema": {"bucket": f"s3://{s3_bucket.name}/store"},
    }
    to = "/plx-context/artifacts/store/train"
    line = (
        f'if [ ! -d "{to}" ]; then mkdir -m 0777 -p {to}; fi; '
        "polyaxon initializer path --connection-name=store --connection-kind=s3 "
        f"--path-from=s3://{s3_bucket.name}/store/train --path-to={to} ;"
    )
    code, log = container(
        image,
        environ | {"POLYAXON_CONNECTIONS_CATALOG": json.dumps({"connections": [entry]})},
        "-c",
        line,
        options=[f"--volume={volume}:/plx-context/artifacts", "--entrypoint=/bin/sh"],
    )
    assert code == 0, log
    assert Path(volume, "store", "train", "a").read_bytes() == b"a"
