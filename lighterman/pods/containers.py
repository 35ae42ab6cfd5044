"""The pod's containers: check, init and sidecar, and main with what it needs of its connections."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from lighterman.connections.model import Connection
from lighterman.connections.names import is_credential
from lighterman.errors import UsageError
from lighterman.pods.checks import has_login
from lighterman.pods.documents import Container, Own, plain
from lighterman.pods.expansions import add_expansions
from lighterman.pods.logins import Parts, add_logins, check_apart
from lighterman.pods.paths import CONFIGURATION, STATE, output_paths, variables_of
from lighterman.pods.placing import Places
from lighterman.pods.read import Written, entry_variables
from lighterman.pods.security import OWN, User, main_context
from lighterman.pods.variables import main_parts
from lighterman.pods.volumes import Volumes
from sidecar.place import VARIABLES

SPEC: Final = f"{CONFIGURATION}/job.yaml"
CHECK, INIT, SIDECAR = "check", "init", "sidecar"
RESOURCES: Final[Mapping[str, Any]] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "256Mi"},
}
"""Half of the limit is the budget of all buffers; the tests run both jobs within 128Mi."""
WAIT_SECONDS: Final = 300
"""How long main waits for an ordinary sidecar, as for a native one."""
PROBE: Final[Mapping[str, Any]] = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 300}
"""
Five minutes to open the journal and set the watches (a million files: some seconds). A sidecar that misses its
time may block main for good (https://github.com/kubernetes/kubernetes/issues/132826).
"""


_PLACE_VARIABLES: Final = tuple(name for names in VARIABLES.values() for name in names)
"""The words of a prefix, which each pod has of its own: one that is written down would be shared."""
_OTHER_VARIABLES: Final = ("LIGHTERMAN_CATALOG", "LIGHTERMAN_ARTIFACTS", *_PLACE_VARIABLES)
"""Those of Lighterman's that no flag has."""
_SAID: Final[Mapping[str, Sequence[str]]] = {
    INIT: (
        *("--spec", "--catalog", "--connection", "--dir", "--file", "--to", "--include"),
        *("--exclude", "--unpack", "--shard", "--resume-outputs", "--cache", "--dry-run"),
    ),
    SIDECAR: (
        *("--spec", "--catalog", "--connection", "--path", "--to", "--state", "--grace"),
        *("--native", "--watch-process", "--done-file"),
    ),
}
"""Flags that a container has from the job spec and from render: their variables would be passed over, or break it."""
_VARIABLE: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""A variable's name, as every Kubernetes takes it."""


class End(NamedTuple):
    """How the sidecar knows that main has ended."""

    is_native: bool = True
    """The kubelet tells it, after main."""
    process: str | None = None
    """Else: the name of main's process, in a shared process namespace …"""
    done_file: str | None = None
    """… or the file that main writes."""


class Setting(NamedTuple):
    """What all of the pod's containers have in common."""

    written: Written
    connections: Mapping[str, Connection]
    volumes: Volumes
    places: Places
    user: User
    image: str
    grace_seconds: int
    end: End


class Containers(NamedTuple):
    """All of them, in the order in which they start."""

    init: list[dict[str, Any]]
    main: list[dict[str, Any]]
    notes: list[str]
    """What the user should know of them."""


def containers_of(setting: Setting) -> Containers:
    """The containers of the Job's pod. ``ConfigurationError`` for connections that can't share one."""
    written = setting.written
    first, notes = [], []
    main, said = _main(setting)
    notes += said
    if written.spec.outputs:
        container, said = _check(setting)
        first.append(container)
        notes += said
    if written.entries:
        container, said = _init(setting)
        first.append(container)
        notes += said
    containers = [main]
    if written.spec.outputs:
        container, said = _sidecar(setting)
        notes += said
        if setting.end.is_native:
            first.append(container)
        else:  # the kubelet starts them in their order, and waits for a postStart before the next
            containers.insert(0, container)
    return Containers(first, containers, list(dict.fromkeys(notes)))


def _main(setting: Setting) -> tuple[dict[str, Any], list[str]]:
    written = setting.written
    names = list(dict.fromkeys(written.spec.connections))
    connections = [setting.connections[name] for name in names]
    notes = check_apart(connections, "main")
    parts, said = main_parts(connections, setting.volumes)
    container = plain(written.run.container)
    context = main_context(written, setting.user)
    own_names = {variable["name"] for variable in container.get("env", ())}
    env = [variable for variable in parts.env if variable["name"] not in own_names]
    own_mounts = container.get("volumeMounts", [])
    own_paths = {mount["mountPath"].rstrip("/") for mount in own_mounts}
    mounts = [
        mount.as_member()
        for mount in (*setting.places.main_mounts, *parts.mounts)
        if mount.path.rstrip("/") not in own_paths
    ]
    container |= {
        "env": env + container.get("env", []),
        "envFrom": parts.env_from + container.get("envFrom", []),
        "volumeMounts": own_mounts + mounts,
        "securityContext": context,
    }
    names = [field.encode_name for field in msgspec.structs.fields(Container)]
    order = ["name", *(name for name in names if name != "name")]
    return {name: container[name] for name in order if container.get(name)}, notes + said


def _check(setting: Setting) -> tuple[dict[str, Any], list[str]]:
    """All that any of the others needs: it tries it."""
    written = setting.written
    parts = Parts()
    read = [entry.connection for entry in written.entries] + list(written.spec.connections)
    _add_place_variables(setting, parts)
    notes = _add_connections(setting, parts, CHECK, read, _written_to(written))
    for mount in setting.places.all:
        parts.mount(mount)
    arguments = ["check", "--spec", SPEC, "--grace", str(setting.grace_seconds)]
    of_sidecar = written.own_sidecar.env or {}
    shared = {name: value for name, value in of_sidecar.items() if not is_flag(name)}
    # What init would do is looked at as init will be told.
    shared |= {
        name: value
        for name, value in (written.own_init.env or {}).items()
        if name in entry_variables(written)
    }
    own = Own(env=shared, resources=written.own_sidecar.resources)
    return _own(setting, CHECK, arguments, parts, own), notes


def _init(setting: Setting) -> tuple[dict[str, Any], list[str]]:
    written = setting.written
    parts = Parts()
    names = [entry.connection for entry in written.entries]
    notes = _add_connections(setting, parts, INIT, names, [])
    for entry in written.entries:
        parts.mount(setting.places.of(entry.destination))
    for mount in setting.places.caches:
        parts.mount(mount)
    arguments = ["init", "--spec", SPEC]
    _check_flags(setting, INIT, "init", arguments)
    return _own(setting, INIT, arguments, parts, written.own_init), notes


def _sidecar(setting: Setting) -> tuple[dict[str, Any], list[str]]:
    written, end = setting.written, setting.end
    parts = Parts()
    if end.is_native:
        parts.set("LIGHTERMAN_NATIVE", "1")
    _add_place_variables(setting, parts)
    notes = _add_connections(setting, parts, SIDECAR, [], _written_to(written))
    for path in output_paths(written):
        parts.mount(setting.places.of(path))
    for mount in setting.places.state:
        parts.mount(mount)
    where = ["--spec", SPEC, "--state", STATE]
    arguments = ["sidecar", *where, "--grace", str(setting.grace_seconds)]
    if end.process:
        arguments += ["--watch-process", end.process]
    if end.done_file:
        # "$(" would be a reference to a variable.
        arguments += ["--done-file", end.done_file.replace("$(", "$$(")]
    _check_flags(setting, SIDECAR, "sidecar", arguments)
    container = _own(setting, SIDECAR, arguments, parts, written.own_sidecar)
    if end.is_native:
        ready = {"exec": {"command": ["lighterman", "ready", *where]}}
        mark = {"exec": {"command": ["lighterman", "mark-stop", *where]}}
        container = {
            "name": container.pop("name"),
            "restartPolicy": "Always",
            **container,
            "startupProbe": {**ready, **PROBE},
            "lifecycle": {"preStop": mark},
        }
    elif end.process:  # a main that fails at once has been seen
        wait = ["lighterman", "ready", *where, "--wait", str(WAIT_SECONDS)]
        container["lifecycle"] = {"postStart": {"exec": {"command": wait}}}
    return container, notes


def _written_to(written: Written) -> list[str]:
    return [output.connection for output in written.spec.outputs]


def _add_connections(
    setting: Setting, parts: Parts, container: str, read: Sequence[str], written_to: Sequence[str]
) -> list[str]:
    names = list(dict.fromkeys((*written_to, *read)))
    notes = check_apart([setting.connections[name] for name in names], container)
    for name in names:
        writes = name in written_to
        add_logins(parts, [setting.connections[name]], setting.volumes, writes=writes)
    parts.mount(setting.places.configuration)
    return notes


def _add_place_variables(setting: Setting, parts: Parts) -> None:
    """What the prefixes of outputs ask for."""
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_UID": "metadata.uid",
    }
    for output in setting.written.spec.outputs:
        for name in variables_of(output):
            parts.refer({"name": name, "valueFrom": {"fieldRef": {"fieldPath": fields[name]}}})


def _own(
    setting: Setting, name: str, arguments: list[str], parts: Parts, own: Own
) -> dict[str, Any]:
    """One of Lighterman's containers; the user's variables come first, and so win."""
    env = Parts()
    for variable, value in (own.env or {}).items():
        env.set(variable, value)
    for reference in parts.env:
        env.refer(reference)
    parts.env = env.env
    add_expansions(setting.written, parts)
    container: dict[str, Any] = {"name": name, "image": setting.image}
    if setting.written.own.image_pull_policy:
        container["imagePullPolicy"] = setting.written.own.image_pull_policy
    return {
        **container,
        "args": arguments,
        **parts.members(),
        "resources": dict(RESOURCES) if own.resources is None else own.resources,
        "securityContext": dict(OWN),
    }


def is_flag(name: str) -> bool:
    """Whether a variable is a flag of Lighterman's, and so of one command."""
    return name.upper().startswith("LIGHTERMAN_") and name not in _OTHER_VARIABLES


def _check_flags(setting: Setting, block: str, command: str, arguments: list[str]) -> None:
    """The variables that the user gives a container say something to its command, or to an SDK."""
    from lighterman.cli import flags_of, parsed
    from lighterman.flags import variable_of
    from lighterman.strict import suggestion, under

    written = setting.written
    own = written.own_init if block == INIT else written.own_sidecar
    place = written.place("lighterman", block, "env")
    known = [variable_of(flag) for flag in flags_of(command)]
    said = [variable_of(flag) for flag in _SAID[block]]
    if block == SIDECAR:
        said += _PLACE_VARIABLES
    for name in own.env or {}:
        if is_credential(name):
            written.fail(
                f"{place}.{name}",
                "a credential in clear",
                "put it into a Kubernetes secret, and name that in the connection: secret: {name: …}",
            )
        if not _VARIABLE.fullmatch(name):
            written.fail(under(place, name), "no name of a variable", "letters, digits, -, _ and .")
        if has_login((own.env or {})[name]):
            written.fail(
                f"{place}.{name}",
                "a login in clear",
                "put it into a Kubernetes secret, as a key of a connection's secret",
            )
        if name in said:
            written.fail(
                f"{place}.{name}",
                "the job spec and render's own flags say it",
                "take it out here, and say it there",
            )
        if is_flag(name) and name not in known:
            written.fail(
                f"{place}.{name}",
                f"{command} has no such flag",
                suggestion(name, known, "its flags are"),
            )
    try:
        parsed(command, arguments, own.env or {})
    except UsageError as error:
        written.fail(place, error.message, error.hint)
