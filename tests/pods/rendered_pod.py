"""
The containers of a rendered pod as processes of this machine: each with the arguments, the environment and the
files that its manifest gives it. The paths of the job are this machine's; Lighterman's own are moved into a directory.
"""

from pathlib import Path

from program import Program

POD = {"metadata.name": "train-abcde", "metadata.namespace": "research", "metadata.uid": "u-1"}
OWN = ("/etc/lighterman", "/var/lib/lighterman")


class RenderedPod:
    """A pod of ``rendered``. ``secrets`` are what the cluster has: names to keys and their values."""

    def __init__(self, rendered, directory, secrets, index=None):
        self._rendered = rendered
        self._root = Path(directory) / "pod"
        self._secrets = secrets
        self._index = {} if index is None else {"JOB_COMPLETION_INDEX": str(index)}
        self._values = [value for keys in secrets.values() for value in keys.values()]
        (self._root / "etc/lighterman").mkdir(parents=True)
        (self._root / "var/lib/lighterman").mkdir(parents=True)
        for name, text in rendered.config_map["data"].items():
            (self._root / "etc/lighterman" / name).write_text(text)
        self._mount_secrets()

    def start(self, name):
        """The container, as the kubelet starts it."""
        container = self._rendered.containers[name]
        environ = self._environ(container)
        return Program(self._root, environ, self._values).start(*self._moved(container["args"]))

    def run(self, name):
        """The container from its start to its end."""
        return self.start(name).finish()

    def hook(self, name, *members):
        """What the kubelet executes in a container: a probe, or a hook."""
        container = found = self._rendered.containers[name]
        for member in members:
            found = found[member]
        program, *arguments = found["exec"]["command"]
        assert "lighterman" == program
        environ = self._environ(container)
        return Program(self._root, environ, self._values).run(*self._moved(arguments))

    def _moved(self, arguments):
        return [
            f"{self._root}{argument}" if argument.startswith(OWN) else argument
            for argument in arguments
        ]

    def _mount_secrets(self):
        for container in self._rendered.containers.values():
            for mount in container.get("volumeMounts", []):
                source = self._rendered.volumes[mount["name"]].get("secret")
                if source is None:
                    continue
                Path(mount["mountPath"]).mkdir(parents=True, exist_ok=True)
                for key, value in self._secrets[source["secretName"]].items():
                    (Path(mount["mountPath"]) / key).write_text(value)

    def _environ(self, container):
        environ = {"LIGHTERMAN_CATALOG": f"{self._root}/etc/lighterman/connections.yaml"}
        for source in container.get("envFrom", []):
            environ |= self._secrets[source["secretRef"]["name"]]
        for variable in container.get("env", []):
            environ[variable["name"]] = self._value(variable)
        return {**environ, **self._index}

    def _value(self, variable):
        if "value" in variable:
            return variable["value"].replace("$$(", "$(")
        source = variable["valueFrom"]
        if "fieldRef" in source:
            return POD[source["fieldRef"]["fieldPath"]]
        reference = source["secretKeyRef"]
        return self._secrets[reference["name"]][reference["key"]]
