"""What the tests of ``render`` write, and how they read the manifests that come of it."""

import yaml

LOGIN = {"name": "s3-secret", "mountPath": "/etc/secrets/s3"}
CONNECTIONS = [
    {"name": "data", "kind": "s3", "schema": {"bucket": "s3://data"}, "secret": LOGIN},
    {"name": "runs", "kind": "s3", "schema": {"bucket": "s3://runs"}, "secret": LOGIN},
]
MAIN = {
    "image": "python:3.13-slim",
    "command": ["python", "train.py"],
    "securityContext": {"runAsUser": 1000},
}
RUN = {
    "kind": "job",
    "init": [{"connection": "data", "artifacts": {"dirs": ["train"]}, "path": "/data"}],
    "outputs": {"connection": "runs", "path": "/outputs", "to": "{pod}"},
    "container": MAIN,
}
ENTRY = {"connection": "data", "artifacts": {"dirs": ["train"]}, "path": "/data"}
OUT = {"connection": "runs", "path": "/outputs", "to": "{pod}"}
ABSENT = object()
"""In place of a member: it isn't there."""


def job(*, top=None, main=None, **run):
    """A job spec of which some members are others; those that are ``ABSENT`` are left out."""
    container = present({**MAIN, **(main or {})})
    members = present({**RUN, "container": container, **run})
    return present({"name": "train", "run": members, **(top or {})})


def present(members):
    return {name: value for name, value in members.items() if value is not ABSENT}


class Rendered:
    """A manifest, or why there is none."""

    def __init__(self, finished):
        self.code = finished.code
        self.text = finished.stdout
        self.log = finished.stderr
        self.events = finished.events

    @property
    def documents(self):
        assert self.code == 0, self.log
        return list(yaml.safe_load_all(self.text))

    @property
    def config_map(self):
        return self.documents[0]

    @property
    def job(self):
        return self.documents[1]

    @property
    def pod(self):
        return self.job["spec"]["template"]["spec"]

    @property
    def containers(self):
        """All of the pod's, by their names, in the order in which they start."""
        pod = self.pod
        return {one["name"]: one for one in [*pod.get("initContainers", []), *pod["containers"]]}

    @property
    def volumes(self):
        return {volume["name"]: volume for volume in self.pod["volumes"]}

    @property
    def notes(self):
        return [line["note"] for line in self.events if line["event"] == "render.note"]

    @property
    def failure(self):
        """The one line that says what is wrong."""
        (failed,) = [line for line in self.events if line["event"] == "render.failed"]
        return failed


def mounts(container):
    """Where a container has which volume."""
    return {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}


def variables(container):
    """A container's environment: values, or what they refer to."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container.get("env", [])}
