"""Containers of the built image, each with a name of its own by which it is removed."""

import fcntl
import json
import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

CONTAINERS = Path(__file__).parent.parent.parent / "containers"
DEADLINE_SECONDS = 300
LIMIT = ("--memory", "128m", "--memory-swap", "128m")
RESTRICTED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all")
KILLED = 137


def podman(*arguments, check=True):
    """Run podman with the project's settings; gives what it printed."""
    done = subprocess.run(
        [CONTAINERS / "podman", *map(str, arguments)],
        cwd=tempfile.gettempdir(),  # where conmon leaves a file after an out-of-memory kill
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0 or not check, f"podman {arguments}: {done.stderr}"
    return done.stdout


def built(tag, *options):
    """Build the Dockerfile as ``tag``; gives the tag. Of several workers one builds, the others find it built."""
    script = CONTAINERS / "build-image"
    with script.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        build = subprocess.run(
            [script, tag, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    assert build.returncode == 0, build.stdout[-5000:]
    return tag


def run_python(image, code, *options):
    """What Python code prints in a container of the image, which is removed at its end."""
    return podman(
        *("run", "--rm", "--network", "none", *options, "--entrypoint", "python"),
        *(image, "-c", code),
    )


class Pod:
    """
    A directory that plays a pod's volumes and mounts, and the containers that share it: the catalog
    where the image looks for it, the secret as files, ``/data`` and ``/outputs``.
    """

    def __init__(self, image, directory, bucket, uid):
        self.image = image
        self.uid = uid
        self.directory = directory
        self.secret = bucket.secret_access_key
        self._names = []
        for name in ("data", "outputs", "catalog", "secret"):
            (directory / name).mkdir()
        _write_json(
            directory / "catalog" / "connections.yaml",
            [
                {
                    "name": "bucket",
                    "kind": "s3",
                    "schema": {"bucket": f"s3://{bucket.name}"},
                    "secret": {"name": "keys", "mountPath": "/etc/secrets/s3"},
                    "options": {"endpoint": bucket.endpoint, "region": bucket.region},
                }
            ],
        )
        (directory / "secret" / "AWS_ACCESS_KEY_ID").write_text(f"{bucket.access_key_id}\n")
        (directory / "secret" / "AWS_SECRET_ACCESS_KEY").write_text(f"{self.secret}\n")
        self.hand_over()

    @property
    def outputs(self):
        return self.directory / "outputs"

    @property
    def data(self):
        return self.directory / "data"

    def hand_over(self):
        """The volumes belong to the pod's uid, as an fsGroup or the same uid of main makes it."""
        for root in (self.data, self.outputs):
            for path in (root, *root.rglob("*")):
                os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def start(self, *arguments, options=(*RESTRICTED, *LIMIT), environ=None):
        """A container with this pod's mounts, in the host's network; gives its name."""
        name = f"lighterman-test-{uuid.uuid4().hex[:12]}"
        self._names.append(name)
        mounts = {
            "data": "/data",
            "outputs": "/outputs",
            "catalog": "/etc/lighterman:ro",
            "secret": "/etc/secrets/s3:ro",
        }
        podman(
            *("run", "--detach", "--name", name, "--network", "host", "--user", self.uid),
            *options,
            *(f"--volume={self.directory / own}:{place}" for own, place in mounts.items()),
            *(f"--env={key}={value}" for key, value in (environ or {}).items()),
            self.image,
            *arguments,
        )
        return name

    def log(self, name):
        """What the container printed so far; no secret is in it."""
        done = subprocess.run(
            [CONTAINERS / "podman", "logs", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        assert self.secret not in done.stdout
        return done.stdout

    def wait_for(self, name, text):
        """Wait until the container's log has ``text``."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self.log(name):
            assert podman("inspect", "--format", "{{.State.Running}}", name).strip() == "true", (
                f"ended without {text!r}:\n{self.log(name)}"
            )
            assert time.monotonic() < deadline, f"no {text!r} in time:\n{self.log(name)}"

    def finish(self, name):
        """Wait for its end; gives the exit code (137: killed, so out of memory)."""
        code = int(podman("wait", name))
        return code, self.log(name)

    def run(self, *arguments, **options):
        return self.finish(self.start(*arguments, **options))

    def remove(self):
        for name in self._names:
            podman("rm", "--force", "--time", "0", "--ignore", name)


def _write_json(path, document):
    path.write_text(json.dumps(document))
