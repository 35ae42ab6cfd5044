"""Job specs of tests over one bucket, and the manifests that come of them."""

import json
from dataclasses import dataclass, field
from typing import Any

import yaml

IMAGE = "lighterman"
"""As manifests call it."""
SECRETS = "/etc/secrets/s3"
PROGRAM = "/etc/lighterman"
STATE = "/var/lib/lighterman"
GRACE_SECONDS = 60
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
READS = {"connection": "bucket", "artifacts": {"dirs": [["in", "."]]}, "path": "/data"}
WRITES = {"connection": "bucket", "path": "/outputs", "to": "out"}


@dataclass
class Job:
    """
    A job that reads ``in`` of the bucket from /data, writes /outputs, which goes to ``out`` of the bucket, and runs
    ``script`` by sh between the two.
    """

    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    script: str
    uid: int = 65532
    init: list[dict[str, Any]] = field(default_factory=lambda: [READS])
    outputs: Any = field(default_factory=lambda: WRITES)
    name: str = "train"
    grace_seconds: int = GRACE_SECONDS
    mounts_secret: bool = True
    """Else its keys are variables."""
    memory: str = "128Mi"
    restart_policy: str = "Never"
    completions: int | None = None
    volumes: list[dict[str, Any]] = field(default_factory=list)
    main_mounts: list[dict[str, Any]] = field(default_factory=list)
    sidecar_env: dict[str, str] = field(default_factory=dict)
    process: str | None = None
    done_file: str | None = None

    def catalog(self) -> dict[str, Any]:
        secret: dict[str, Any] = {"name": "s3-secret"}
        secret |= (
            {"mountPath": SECRETS}
            if self.mounts_secret
            else {"items": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]}
        )
        return {
            "connections": [
                {
                    "name": "bucket",
                    "kind": "s3",
                    "schema": {"bucket": f"s3://{self.bucket}"},
                    "secret": secret,
                    "options": {"endpoint": self.endpoint, "region": "us-east-1"},
                }
            ]
        }

    def secret(self) -> dict[str, Any]:
        """What the user of the cluster has put there."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s3-secret"},
            "stringData": {
                "AWS_ACCESS_KEY_ID": self.access_key_id,
                "AWS_SECRET_ACCESS_KEY": f"{self.secret_access_key}\n",
            },
        }

    @property
    def is_native(self) -> bool:
        return self.process is None and self.done_file is None

    def manifest(self) -> list[dict[str, Any]]:
        where = ["--spec", f"{PROGRAM}/job.yaml"]
        grace = ["--grace", str(self.grace_seconds)]
        state = ["--state", STATE]
        check = self._own("check", ["check", *where, *grace], writes=True, reads=True)
        init = self._own("init", ["init", *where], reads=True)
        end = ["--watch-process", self.process] if self.process else []
        end += ["--done-file", self.done_file] if self.done_file else []
        sidecar = self._own("sidecar", ["sidecar", *where, *state, *grace, *end], writes=True)
        sidecar["volumeMounts"].append({"name": "lighterman-state", "mountPath": STATE})
        sidecar["env"] += [{"name": k, "value": v} for k, v in self.sidecar_env.items()]
        if self.is_native:
            sidecar["env"].insert(0, {"name": "LIGHTERMAN_NATIVE", "value": "1"})
            sidecar["restartPolicy"] = "Always"
            sidecar["lifecycle"] = {
                "preStop": {"exec": {"command": ["lighterman", "mark-stop", *where, *state]}}
            }
        main = {
            "name": "main",
            "image": IMAGE,
            "command": ["sh", "-c", self.script],
            "volumeMounts": self.main_mounts or self._mounts(reads=True, writes=True),
            "securityContext": RESTRICTED,
        }
        first = [check, *([init] if self.init else []), *([sidecar] if self.is_native else [])]
        pod = {
            "restartPolicy": self.restart_policy,
            "terminationGracePeriodSeconds": self.grace_seconds,
            "securityContext": {
                "runAsUser": self.uid,
                "runAsNonRoot": True,
                "fsGroup": self.uid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": first,
            "containers": [main, *([] if self.is_native else [sidecar])],
            "volumes": self._volumes(),
        }
        if self.process:
            pod["shareProcessNamespace"] = True
        job: dict[str, Any] = {"template": {"spec": pod}, "backoffLimit": 0}
        if self.completions:
            job |= {"completions": self.completions, "completionMode": "Indexed"}
        return [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"{self.name}-lighterman"},
                "data": {
                    "connections.yaml": yaml.safe_dump(self.catalog()),
                    "job.yaml": yaml.safe_dump({"init": self.init, "outputs": self.outputs}),
                },
            },
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": self.name},
                "spec": job,
            },
        ]

    def documents(self) -> list[dict[str, Any]]:
        """The manifest and what else is in the cluster."""
        return json.loads(json.dumps([*self.manifest(), self.secret()]))

    def _volumes(self) -> list[dict[str, Any]]:
        named = [one["name"] for one in self.volumes]
        made = [one for one in ("data", "outputs", "lighterman-state") if one not in named]
        return [
            *self.volumes,
            *[{"name": one, "emptyDir": {}} for one in made],
            {"name": "lighterman", "configMap": {"name": f"{self.name}-lighterman"}},
            {"name": "s3-secret", "secret": {"secretName": "s3-secret", "defaultMode": 0o400}},
        ]

    def _mounts(self, *, reads: bool = False, writes: bool = False) -> list[dict[str, Any]]:
        found = []
        if reads and any(entry.get("path") == "/data" for entry in self.init):
            found.append({"name": "data", "mountPath": "/data"})
        resumes = any(entry.get("path") == "/outputs" for entry in self.init)
        if writes or (reads and resumes):
            found.append({"name": "outputs", "mountPath": "/outputs"})
        return found

    def _own(self, name: str, args: list[str], **kinds: bool) -> dict[str, Any]:
        env: list[dict[str, Any]] = [
            {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{place}"}}}
            for variable, place in (("POD_NAME", "name"), ("POD_NAMESPACE", "namespace"))
        ]
        mounts = self._mounts(**kinds)
        mounts.append({"name": "lighterman", "mountPath": PROGRAM, "readOnly": True})
        if self.mounts_secret:
            mounts.append({"name": "s3-secret", "mountPath": SECRETS, "readOnly": True})
        else:
            env += [
                {
                    "name": key,
                    "valueFrom": {"secretKeyRef": {"name": "s3-secret", "key": key}},
                }
                for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            ]
        return {
            "name": name,
            "image": IMAGE,
            "args": args,
            "env": env,
            "resources": {"limits": {"memory": self.memory}},
            "securityContext": RESTRICTED,
            "volumeMounts": mounts,
        }
