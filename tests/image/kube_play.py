"""
A rendered Job's pod as ``podman kube play`` takes it (4.3). Podman has its own ideas of a pod, which the manifest is
brought to here, and nothing else of it is changed:

- Jobs are unknown to it: the Job's template becomes a Pod, in the host's network, where the servers listen.
- Volumes are podman's, by their name alone: each gets a name that no other pod has.
- Secrets come from podman's store, as a whole document where they are mounted, as keys and values where they are
  variables; a mounted one needs ``optional`` written out.
- It leaves out ``fsGroup``, hooks, probes and the grace: a volume belongs to the user that mounts it first.
"""

import base64
import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import yaml
from pods import CONTAINERS, podman

KEEP_INIT_CONTAINERS = {"io.podman.annotations.init.container.type": "always"}
"""Else they are removed when they have ended, and their logs with them."""


class KubePlayed:
    """One pod of podman's, with what is made for it; ``documents`` are a rendered Job, its ConfigMap and a Secret."""

    def __init__(self, documents: list[dict[str, Any]], directory: Path, image: str) -> None:
        self.name = f"lighterman-test-{uuid.uuid4().hex[:8]}"
        config_map, job, secret = documents
        pod = _own_pod(job["spec"]["template"], self.name, image)
        self.volumes = {
            volume["name"]: f"{self.name}-{volume['name']}" for volume in pod["volumes"]
        }
        self._secret = f"{self.name}-{secret['metadata']['name']}"
        self._rename(pod, config_map["metadata"]["name"])
        config_map["metadata"]["name"] = f"{self.name}-{config_map['metadata']['name']}"
        self._hidden = secret["stringData"]["AWS_SECRET_ACCESS_KEY"].strip()
        mounted = any("secret" in volume for volume in pod["volumes"])
        self._document = directory / f"{self.name}.yaml"
        self._document.write_text(
            yaml.safe_dump_all(
                [
                    config_map,
                    {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "metadata": {"name": self.name, "annotations": KEEP_INIT_CONTAINERS},
                        "spec": pod,
                    },
                ]
            )
        )
        self._keep_secret(secret, mounted=mounted)

    def play(self) -> "KubePlayed":
        """Comes back when the init containers have ended and the others run."""
        podman("kube", "play", "--log-driver=k8s-file", str(self._document))
        return self

    def container(self, name: str) -> str:
        return f"{self.name}-{name}"

    def inspect(self, name: str) -> dict[str, Any]:
        return json.loads(podman("inspect", self.container(name)))[0]

    def finish(self, name: str) -> int:
        """The exit code of a container, when it has ended."""
        return int(podman("wait", "--interval=50ms", self.container(name)))

    def log(self, name: str) -> str:
        """What it printed; no secret is in it."""
        done = subprocess.run(
            [CONTAINERS / "podman", "logs", self.container(name)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        assert self._hidden not in done.stdout
        return done.stdout

    def remove(self) -> None:
        podman("pod", "rm", "--force", "--time", "0", "--ignore", self.name, check=False)
        # Those of config maps are called after these.
        volumes = podman("volume", "ls", "--quiet", f"--filter=name={self.name}").split()
        if volumes:
            podman("volume", "rm", "--force", *volumes, check=False)
        podman("secret", "rm", self._secret, check=False)

    def _rename(self, pod: dict[str, Any], config_map: str) -> None:
        for volume in pod["volumes"]:
            volume["name"] = self.volumes[volume["name"]]
            if "configMap" in volume:
                assert volume["configMap"]["name"] == config_map
                volume["configMap"]["name"] = f"{self.name}-{config_map}"
            if "secret" in volume:
                volume["secret"] |= {"secretName": self._secret, "optional": False}
        for container in (*pod["initContainers"], *pod["containers"]):
            for mount in container["volumeMounts"]:
                mount["name"] = self.volumes[mount["name"]]
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    reference["name"] = self._secret

    def _keep_secret(self, secret: dict[str, Any], *, mounted: bool) -> None:
        data = {
            key: base64.b64encode(text.encode()).decode()
            for key, text in secret["stringData"].items()
        }
        whole = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self._secret}}
        subprocess.run(
            [CONTAINERS / "podman", "secret", "create", self._secret, "-"],
            input=json.dumps({**whole, "data": data} if mounted else data),
            stdout=subprocess.DEVNULL,
            text=True,
            check=True,
        )


def _own_pod(template: dict[str, Any], name: str, image: str) -> dict[str, Any]:
    pod = {**template["spec"], "hostNetwork": True}
    assert pod["restartPolicy"] == "Never", (
        f"{name}: podman starts a successful init again and again"
    )
    for container in (*pod["initContainers"], *pod["containers"]):
        container["image"] = image
    return pod
