"""The drop-ins: valid for every Kubernetes that is supported, restricted, and in words that the program takes."""

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import kubernetes_validate
import kustomizing
import pytest
import yaml
from pod_security import containers_of, violations

from lighterman.cli import COMMANDS, _as_ours, _command_of, _parse
from lighterman.connections.catalog import load_catalog
from lighterman.jobspec import job_spec

DROP_INS = Path(__file__).parent.parent / "examples" / "drop-ins"
VERSIONS = [
    version
    for version in kubernetes_validate.utils.all_versions()
    if tuple(map(int, version.split(".")[:2])) >= (1, 29)
]
IMAGE = "lighterman"
TEMPLATES = {
    "Pod": ("spec",),
    "Job": ("spec", "template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
MANIFESTS = ["pod", "job", "cronjob", "indexed-job", "deployment", "argo"]


def documents(name):
    return list(yaml.safe_load_all((DROP_INS / f"{name}.yaml").read_text()))


def read(name):
    """Config map, manifest and pod spec of an example."""
    manifests = kustomizing.build(DROP_INS / "kustomize" / "overlay") if name == "kustomize" else []
    manifests = manifests or documents(name)
    config_map = next(one for one in manifests if one["kind"] == "ConfigMap")
    manifest = next(one for one in manifests if one["kind"] != "ConfigMap")
    if manifest["kind"] == "Workflow":
        return config_map, manifest, workflow_pod(manifest)
    pod = manifest
    for step in TEMPLATES[manifest["kind"]]:
        pod = pod[step]
    return config_map, manifest, pod


def workflow_pod(workflow):
    """The pod that Argo makes of the only template, without its own executor's containers."""
    spec = workflow["spec"]
    (template,) = spec["templates"]
    pod = {
        "restartPolicy": "Never",
        "securityContext": spec["securityContext"],
        "initContainers": template["initContainers"],
        "containers": [{"name": "main", **template["container"]}],
        "volumes": spec["volumes"],
    }
    return pod | json.loads(spec["podSpecPatch"])


def as_pod(spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


ALL = pytest.mark.parametrize("name", [*MANIFESTS, "kustomize"])


@ALL
@pytest.mark.parametrize("version", VERSIONS)
def test_a_manifest_is_valid_for_every_supported_kubernetes(name, version):
    """From 1.29 to the newest known, unknown fields refused; of a custom resource the pod that it comes to."""
    config_map, manifest, pod = read(name)
    kubernetes_validate.validate(config_map, version, strict=True)
    kubernetes_validate.validate(as_pod(pod), version, strict=True)
    if manifest["kind"] in TEMPLATES:
        kubernetes_validate.validate(manifest, version, strict=True)


@ALL
def test_a_pod_is_admitted_by_the_restricted_profile(name):
    """Every container of it, the user's own too."""
    assert violations(read(name)[2]) == []


def ours(pod):
    return {one["name"]: one for one in containers_of(pod) if one["image"] == IMAGE}


def plain_env(container):
    return {one["name"]: one.get("value", "set") for one in container.get("env", [])}


@ALL
def test_the_containers_come_in_the_kubelets_order(name):
    """check, init, then the native sidecar; what the user's own init containers do is after them."""
    pod = read(name)[2]
    names = [one["name"] for one in pod["initContainers"]]
    assert names[:3] == ["check", "init", "sidecar"]
    sidecar = ours(pod)["sidecar"]
    assert sidecar["restartPolicy"] == "Always"
    assert plain_env(sidecar)["LIGHTERMAN_NATIVE"] == "1"
    assert all("restartPolicy" not in ours(pod)[other] for other in ("check", "init"))


@ALL
def test_arguments_are_the_programs_own(name):
    """Each container's args parse by the program's parser; probes and hooks say the sidecar's state and spec."""
    pod = read(name)[2]
    for container in ours(pod).values():
        arguments = _parse(_command_of(container["args"]), container["args"], plain_env(container))
        assert arguments.spec.startswith("/etc/lighterman/")
    sidecar = ours(pod)["sidecar"]
    flags = {
        flag: sidecar["args"][sidecar["args"].index(flag) + 1] for flag in ("--spec", "--state")
    }
    hooks = sidecar["startupProbe"], sidecar["lifecycle"]["preStop"]
    for hook, command in zip(hooks, ("ready", "mark-stop"), strict=True):
        program, *argv = hook["exec"]["command"]
        assert (program, argv[0]) == ("lighterman", command)
        assert dict(zip(argv[1::2], argv[2::2], strict=True)) == flags
        if command in COMMANDS:
            _parse(command, argv, {})


@ALL
def test_the_grace_is_the_pods(name):
    """`--grace` is terminationGracePeriodSeconds, for the sidecar and for check."""
    pod = read(name)[2]
    for container in (ours(pod)["check"], ours(pod)["sidecar"]):
        arguments = _parse(container["args"][0], container["args"], {})
        assert arguments.grace == pod["terminationGracePeriodSeconds"]


def catalog_and_spec(config_map, pod, tmp_path):
    """As init finds them, by its own arguments."""
    (tmp_path / "connections.yaml").write_text(config_map["data"]["connections.yaml"])
    init = ours(pod)["init"]
    spec = Path(init["args"][init["args"].index("--spec") + 1]).name
    document = yaml.safe_load(config_map["data"][spec])
    return load_catalog(str(tmp_path / "connections.yaml"), {}), job_spec(document, spec)


def mounts(container):
    return {one["mountPath"]: one for one in container["volumeMounts"]}


@ALL
def test_what_is_named_is_there_and_mounted(name, tmp_path):
    """Connections are in the catalog, their secrets and all paths in the containers that use them."""
    config_map, _, pod = read(name)
    catalog, spec = catalog_and_spec(config_map, pod, tmp_path)
    inputs, outputs = [one.path for one in spec.init], [one.path for one in spec.outputs]
    names = {one.connection for one in (*spec.init, *spec.outputs)}
    secrets = [catalog.get(name).secret.mount_path for name in names]
    needed = {
        "check": [*inputs, *outputs, "/var/lib/lighterman"],
        "init": inputs,
        "sidecar": [*outputs, "/var/lib/lighterman"],
    }
    volumes = {one["name"]: one for one in pod["volumes"]}
    for container, paths in needed.items():
        there = mounts(ours(pod)[container])
        assert set(there) == {*paths, *secrets, "/etc/lighterman"}
        assert all(one["name"] in volumes for one in there.values())
        assert all(not there[path].get("readOnly") for path in paths)
    (main,) = pod["containers"]
    assert {*inputs, *outputs} <= set(mounts(main))
    assert not any(mounts(main)[path].get("readOnly") for path in outputs)
    assert volumes["lighterman"]["configMap"]["name"] == config_map["metadata"]["name"]
    assert volumes["s3-secret"]["secret"]["defaultMode"] == 0o400
    assert {name for name, one in volumes.items() if "emptyDir" in one} == {
        *(mounts(ours(pod)["sidecar"])[path]["name"] for path in (*outputs, "/var/lib/lighterman")),
        *(mounts(ours(pod)["init"])[path]["name"] for path in inputs),
    }


@ALL
def test_no_two_pods_share_a_prefix(name, tmp_path):
    """Its words are set in the containers that fill them in, and by whatever makes several pods."""
    config_map, manifest, pod = read(name)
    _, spec = catalog_and_spec(config_map, pod, tmp_path)
    (output,) = spec.outputs
    if manifest["spec"].get("completionMode") == "Indexed":
        assert "{index}" in output.to
        assert manifest["spec"]["podReplacementPolicy"] == "Failed"
        (entry,) = spec.init
        assert (entry.shard.index, entry.shard.count) == (
            "$JOB_COMPLETION_INDEX",
            str(manifest["spec"]["completions"]),
        )
    else:
        assert "{pod}" in output.to
        for container in ("check", "sidecar"):
            assert "POD_NAME" in plain_env(ours(pod)[container])


def test_the_component_changes_nothing_of_the_users_own():
    """kustomize adds: the manifest's own containers, user and labels are what they were."""
    (before,) = yaml.safe_load_all((DROP_INS / "kustomize" / "overlay" / "job.yaml").read_text())
    _, after, pod = read("kustomize")
    assert after["metadata"] == before["metadata"]
    own = before["spec"]["template"]["spec"]
    assert pod["initContainers"][3:] == own["initContainers"]
    assert own["securityContext"].items() <= pod["securityContext"].items()
    (was,), (now,) = own["containers"], pod["containers"]
    assert was.items() <= now.items()
    assert pod["restartPolicy"] == own["restartPolicy"]


def test_jobs_and_deployments_get_the_same_pod():
    """The component's two patches differ in what they are of alone."""
    job, deployment = (
        yaml.safe_load((DROP_INS / "kustomize" / "component" / f"{name}.yaml").read_text())
        for name in ("job", "deployment")
    )
    assert job["spec"]["template"] == deployment["spec"]["template"]
    assert (job["kind"], deployment["kind"]) == ("Job", "Deployment")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_storage_container_of_kserve_is_a_valid_container(version):
    """With the args and the mount that KServe's controller adds, in a pod."""
    storage, secret, _ = documents("kserve")
    container = storage["spec"]["container"]
    assert container["name"] == "storage-initializer"
    args = ["s3://bucket/model", "/mnt/models"]
    pod = as_pod(
        {
            "initContainers": [
                container
                | {"args": args, "volumeMounts": [{"name": "models", "mountPath": "/mnt/models"}]}
            ],
            "containers": [{"name": "kserve-container", "image": "server"}],
            "volumes": [{"name": "models", "emptyDir": {}}],
        }
    )
    kubernetes_validate.validate(pod, version, strict=True)
    kubernetes_validate.validate(secret, version, strict=True)
    arguments = _parse("init", _as_ours(args), {})
    assert (arguments.uri, arguments.into, arguments.kserve) == (*args, True)


def test_the_storage_container_is_restricted():
    """It needs nothing of a pod that would be less."""
    storage, _, _ = documents("kserve")
    pod = {"initContainers": [storage["spec"]["container"]], "containers": []}
    assert violations(pod) == []


@pytest.mark.parametrize(
    ("uri", "is_taken"),
    [
        ("s3://bucket/model", True),
        ("gs://bucket/model", True),
        ("https://account.blob.core.windows.net/box/model", True),
        ("https://example.com/model.bin", False),
        ("https://account.file.core.windows.net/share/model", False),
        ("hf://org/model", False),
        ("pvc://claim/model", False),
        ("oci://registry/image", False),
    ],
)
def test_the_storage_container_takes_what_the_program_takes(uri, is_taken):
    """supportedUriFormats, as KServe reads them: a prefix, or a regular expression found in it."""
    from lighterman.connections.uri import connection_of
    from lighterman.errors import ConfigurationError

    storage, _, _ = documents("kserve")
    formats = storage["spec"]["supportedUriFormats"]
    said = any(
        uri.startswith(one["prefix"]) if "prefix" in one else re.search(one["regex"], uri)
        for one in formats
    )
    try:
        connection_of(uri)
    except ConfigurationError:
        known = False
    else:
        known = True
    assert (said, known) == (is_taken, is_taken)


def test_the_storage_secret_of_kserve_is_read():
    """The JSON of its key is a storage config."""
    from lighterman.connections.kserve import storage_config

    _, secret, inference = documents("kserve")
    storage = inference["spec"]["predictor"]["model"]["storage"]
    found = storage_config({"STORAGE_CONFIG": secret["stringData"][storage["key"]]}, "s3")
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_VERIFY_SSL"} <= set(found.values)


def test_polyaxons_connections_are_a_catalog():
    """As its compiler hands them to a container: the artifacts store, or one connection."""
    (values,) = documents("polyaxon/values")
    for entry in (values["artifactsStore"], *values["connections"]):
        catalog = json.dumps({"connections": [entry]})
        found = load_catalog(None, {"POLYAXON_CONNECTIONS_CATALOG": catalog}).get(entry["name"])
        assert found.kind == entry["kind"]
    assert values["init"]["image"] == values["sidecar"]["image"] == IMAGE
    fields = {"image", "imageTag", "imagePullPolicy", "resources", "sleepInterval", "syncInterval"}
    assert values["sidecar"].keys() <= fields


def test_polyaxons_operation_names_what_is_there():
    """Its init entry is of a connection of the values, and it goes without Polyaxon's token."""
    (values,), (operation,) = documents("polyaxon/values"), documents("polyaxon/operation")
    names = {one["name"] for one in values["connections"]}
    assert {one["connection"] for one in operation["component"]["run"]["init"]} <= names
    assert operation["plugins"] == {"auth": False}


def docker_lines():
    text = re.sub(r" \\\n +", " ", (DROP_INS / "docker-run.md").read_text())
    return re.findall(r"^docker run .*$", text, re.MULTILINE)


def test_docker_lines_are_the_programs_own():
    """What stands behind the image's name parses, and no line holds a credential."""
    lines = docker_lines()
    assert [line.split(f" {IMAGE} ")[1].split()[0] for line in lines] == [
        "check",
        "init",
        "sync",
        "sidecar",
        "verify",
    ]
    for line in lines:
        options, _, argv = line.partition(f" {IMAGE} ")
        arguments = shlex.split(argv.replace("$BUCKET", "my-bucket"))
        _parse(_command_of(arguments), arguments, {})
        given = shlex.split(options)
        variables = [value for flag, value in pairwise(given) if flag == "-e"]
        assert variables
        assert not any("=" in variable for variable in variables)


def test_the_index_names_every_drop_in():
    """README.md links each file or folder once."""
    linked = re.findall(r"\]\(([^)#]+)\)", (DROP_INS / "README.md").read_text())
    own = {link.split("/")[0] for link in linked if not link.startswith("..")}
    assert own == {path.name for path in DROP_INS.iterdir()} - {"README.md"}
