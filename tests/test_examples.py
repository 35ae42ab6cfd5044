"""The examples say what the program takes."""

from pathlib import Path

import yaml

from lighterman.cli import _parse, main
from lighterman.connections.catalog import load_catalog

EXAMPLES = Path(__file__).parent.parent / "examples"
POD = EXAMPLES / "pod.yaml"


def test_the_pods_containers_have_flags_that_the_program_takes(tmp_path):
    """Both containers of examples/pod.yaml parse, and name a connection of its catalog."""
    catalog, pod = yaml.safe_load_all(POD.read_text())
    (tmp_path / "connections.yaml").write_text(catalog["data"]["connections.yaml"])
    connections = load_catalog(str(tmp_path / "connections.yaml"), {})
    ours = [item for item in pod["spec"]["initContainers"] if item["image"] == "lighterman"]
    assert [item["name"] for item in ours] == ["init", "sidecar"]
    for container in ours:
        environ = {item["name"]: item.get("value", "") for item in container.get("env", [])}
        arguments = _parse(container["args"][0], container["args"], environ)
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert connections.get(arguments.connection).secret.mount_path in mounts
        assert (arguments.to if container["name"] == "init" else arguments.path) in mounts


def test_the_pod_gives_the_sidecar_the_grace_that_it_has():
    """`--grace` is the pod's terminationGracePeriodSeconds, and main may take as long as it likes."""
    _, pod = yaml.safe_load_all(POD.read_text())
    sidecar = pod["spec"]["initContainers"][1]
    assert sidecar["restartPolicy"] == "Always"
    grace = sidecar["args"][sidecar["args"].index("--grace") + 1]
    assert int(grace) == pod["spec"]["terminationGracePeriodSeconds"]


def test_the_rendered_example_is_what_render_makes_of_the_job(capsys):
    """examples/rendered.yaml is the manifest of examples/job.yaml, to the letter."""
    catalog = str(EXAMPLES / "connections.yaml")
    assert 0 == main(["render", str(EXAMPLES / "job.yaml"), "--catalog", catalog], {})
    assert (EXAMPLES / "rendered.yaml").read_text() == capsys.readouterr().out
