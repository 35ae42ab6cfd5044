"""Job specs of tests over one bucket, and the manifests that ``lighterman render`` makes of them."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

IMAGE = "lighterman"
"""As manifests call it."""
READS = {"connection": "bucket", "artifacts": {"dirs": [["in", "."]]}, "path": "/data"}
WRITES = {"connection": "bucket", "path": "/outputs", "to": "out"}
GRACE_SECONDS = 60
LIMIT = {"limits": {"memory": "128Mi"}}


@dataclass
class Job:
    """
    A job that reads ``in`` of the bucket from /data and runs ``script`` by sh, whose /outputs goes to ``out`` of
    the bucket. All of its containers are restricted, Lighterman's to 128 MiB too.
    """

    directory: Path
    """Where its files are written for render."""
    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    script: str
    uid: int = 65532
    init: list[dict[str, Any]] = field(default_factory=lambda: [READS])
    outputs: Any = field(default_factory=lambda: WRITES)
    mounts_secret: bool = True
    """Else its keys are variables."""
    init_env: dict[str, str] = field(default_factory=dict)
    sidecar_env: dict[str, str] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)
    """More of main's."""
    environment: dict[str, Any] = field(default_factory=dict)
    """More of the pod's."""
    run: dict[str, Any] = field(default_factory=dict)
    """More of the job's."""
    connections: list[dict[str, Any]] = field(default_factory=list)
    """More of the catalog's."""
    flags: tuple[str, ...] = ()
    """Of render."""

    def catalog(self) -> dict[str, Any]:
        place: dict[str, Any] = {"items": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]}
        if self.mounts_secret:
            place = {"mountPath": "/etc/secrets/s3"}
        return {
            "connections": [
                {
                    "name": "bucket",
                    "kind": "s3",
                    "schema": {"bucket": f"s3://{self.bucket}"},
                    "secret": {"name": "s3-secret", **place},
                    "options": {"endpoint": self.endpoint, "region": "us-east-1"},
                },
                *self.connections,
            ]
        }

    def spec(self) -> dict[str, Any]:
        return {
            "name": "train",
            "run": {
                "kind": "job",
                "container": {
                    "image": IMAGE,
                    "command": ["sh", "-c", self.script],
                    "securityContext": {"readOnlyRootFilesystem": True},
                    **self.container,
                },
                "init": self.init,
                "outputs": self.outputs,
                "lighterman": {
                    "init": {"resources": LIMIT, "env": self.init_env},
                    "sidecar": {"resources": LIMIT, "env": self.sidecar_env},
                },
                "environment": {
                    "terminationGracePeriodSeconds": GRACE_SECONDS,
                    **self.environment,
                },
                **self.run,
            },
        }

    def secret(self) -> dict[str, Any]:
        """What the user of the cluster has put there; files of secrets often end with a line's end."""
        end = "\n" if self.mounts_secret else ""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s3-secret"},
            "stringData": {
                "AWS_ACCESS_KEY_ID": self.access_key_id,
                "AWS_SECRET_ACCESS_KEY": self.secret_access_key + end,
            },
        }

    def documents(self) -> list[dict[str, Any]]:
        """The manifest, as its user would apply it, and the secret that is in the cluster."""
        spec, catalog = self.directory / "job.yaml", self.directory / "connections.yaml"
        spec.write_text(yaml.safe_dump(self.spec()))
        catalog.write_text(yaml.safe_dump(self.catalog()))
        rendered = subprocess.run(
            [
                *(sys.executable, "-m", "lighterman", "render", spec, "--catalog", catalog),
                *("--image", IMAGE, "--run-as", str(self.uid), "--validate", *self.flags),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert rendered.returncode == 0, rendered.stderr
        documents = list(yaml.safe_load_all(rendered.stdout))
        return [*documents, self.secret()]
