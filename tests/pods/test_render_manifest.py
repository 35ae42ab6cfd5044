"""What ``lighterman render`` makes of a job spec."""

import json
import os
from pathlib import Path

import kubernetes_validate
import msgspec
import pytest
import rendering
import yaml
from program import Program
from rendering import ABSENT, CONNECTIONS, RUN, mounts, variables

from lighterman.connections.catalog import load_catalog
from lighterman.jobspec import load_job_spec
from lighterman.pods import documents
from lighterman.pods.validate import known_versions


def test_the_containers_start_in_the_order_that_a_pod_needs(render):
    """One init container for all entries, then the sidecar as a native sidecar, after a check."""
    entries = [
        {"connection": "data", "artifacts": {"dirs": ["train"]}, "path": "/data"},
        {"connection": "data", "artifacts": {"files": ["a.csv"]}, "path": "/more"},
    ]
    rendered = render(init=entries)
    assert ["check", "init", "sidecar"] == [one["name"] for one in rendered.pod["initContainers"]]
    assert ["main"] == [one["name"] for one in rendered.pod["containers"]]
    assert {"/data", "/more"} <= set(mounts(rendered.containers["init"]))


def test_the_sidecar_is_a_native_one(render):
    """`restartPolicy: Always`, a startup probe that asks for watches and journal, a preStop that notes the time."""
    sidecar = render().containers["sidecar"]
    where = ["--spec", "/etc/lighterman/job.yaml", "--state", "/var/lib/lighterman"]
    assert "Always" == sidecar["restartPolicy"]
    assert ["lighterman", "ready", *where] == sidecar["startupProbe"]["exec"]["command"]
    assert ["lighterman", "mark-stop", *where] == (
        sidecar["lifecycle"]["preStop"]["exec"]["command"]
    )
    assert "1" == variables(sidecar)["LIGHTERMAN_NATIVE"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [({}, 120), ({"terminationGracePeriodSeconds": 45}, 45)],
    ids=["not said", "said"],
)
def test_the_grace_is_carried_into_the_sidecar(render, environment, seconds):
    """`terminationGracePeriodSeconds` is the sidecar's `--grace`, and what check looks at."""
    rendered = render(environment=environment)
    assert seconds == rendered.pod["terminationGracePeriodSeconds"]
    for name in ("check", "sidecar"):
        arguments = rendered.containers[name]["args"]
        assert str(seconds) == arguments[arguments.index("--grace") + 1]


def test_the_config_map_has_what_the_containers_read(render, tmp_path):
    """The catalog and the spec's own blocks, readable by the program, where the containers look for them."""
    rendered = render()
    for name, text in rendered.config_map["data"].items():
        (tmp_path / f"mounted-{name}").write_text(text)
    catalog = load_catalog(str(tmp_path / "mounted-connections.yaml"), {})
    spec = load_job_spec(str(tmp_path / "mounted-job.yaml"))
    assert ["data", "runs"] == catalog.names()
    assert "/data" == spec.init[0].path
    assert "{pod}" == spec.outputs[0].to
    source = rendered.volumes["lighterman"]["configMap"]
    assert rendered.config_map["metadata"]["name"] == source["name"]
    for name in ("check", "init", "sidecar"):
        assert "lighterman" == mounts(rendered.containers[name])["/etc/lighterman"]
    assert "/etc/lighterman" not in mounts(rendered.containers["main"])


def test_only_connections_that_the_job_uses_are_in_its_catalog(render):
    """What other jobs log in with isn't this job's to know."""
    other = {"name": "other", "kind": "s3", "schema": {"bucket": "other"}}
    rendered = render(catalog=[*CONNECTIONS, other])
    assert "other" not in rendered.text


def test_a_job_without_outputs_has_no_sidecar(render):
    """Init alone needs neither a sidecar nor a check, and no grace."""
    rendered = render(outputs=ABSENT)
    assert ["init", "main"] == list(rendered.containers)
    assert "terminationGracePeriodSeconds" not in rendered.pod


def test_a_job_without_init_has_no_init_container(render):
    """The sidecar comes alone, after its check."""
    assert ["check", "sidecar", "main"] == list(render(init=ABSENT).containers)


def test_a_pod_is_never_replaced_before_it_has_ended(render):
    """`podReplacementPolicy: Failed`: no two pods of one index write at once."""
    assert "Failed" == render().job["spec"]["podReplacementPolicy"]


def test_completions_make_an_indexed_job_of_shards(render):
    """Each pod has an index, all run at once, and its outputs a prefix of their own."""
    shard = {"index": "$JOB_COMPLETION_INDEX", "count": 8}
    rendered = render(
        completions=8,
        init=[{"connection": "data", "path": "/data", "shard": shard}],
        outputs={"connection": "runs", "path": "/outputs", "to": "runs/{index}"},
    )
    spec = rendered.job["spec"]
    assert (8, 8, "Indexed") == (spec["completions"], spec["parallelism"], spec["completionMode"])
    assert {"index": "$JOB_COMPLETION_INDEX", "count": 8} == (
        yaml.safe_load(rendered.config_map["data"]["job.yaml"])["run"]["init"][0]["shard"]
    )


def test_a_prefix_gets_its_words_from_the_downward_api(render):
    """{pod}, {namespace} and {uid} are fields of the pod, for check and sidecar."""
    outputs = {"connection": "runs", "path": "/outputs", "to": "{namespace}/{pod}/{uid}"}
    rendered = render(outputs=outputs)
    for name in ("check", "sidecar"):
        found = variables(rendered.containers[name])
        assert {"fieldRef": {"fieldPath": "metadata.name"}} == found["POD_NAME"]
        assert {"fieldRef": {"fieldPath": "metadata.namespace"}} == found["POD_NAMESPACE"]
        assert {"fieldRef": {"fieldPath": "metadata.uid"}} == found["POD_UID"]


def test_what_is_said_of_main_the_pod_and_the_job_is_passed_on(render):
    """Main's own members, the pod's and the Job's stand where Kubernetes has them, Polyaxon's names too."""
    rendered = render(
        main={"args": ["--fast"], "resources": {"limits": {"nvidia.com/gpu": 1}}, "tty": True},
        environment={
            "labels": {"team": "a"},
            "nodeSelector": {"pool": "gpu"},
            "imagePullSecrets": ["registry"],
            "serviceAccountName": "trainer",
            "restartPolicy": "OnFailure",
        },
        top={
            "namespace": "research",
            "labels": {"project": "x"},
            "termination": {"maxRetries": 3, "ttl": 60, "timeout": 3600},
        },
    )
    main, pod, job = rendered.containers["main"], rendered.pod, rendered.job
    assert (["--fast"], True) == (main["args"], main["tty"])
    assert {"limits": {"nvidia.com/gpu": 1}} == main["resources"]
    assert ({"pool": "gpu"}, "trainer") == (pod["nodeSelector"], pod["serviceAccountName"])
    assert ([{"name": "registry"}], "OnFailure") == (pod["imagePullSecrets"], pod["restartPolicy"])
    assert "a" == job["spec"]["template"]["metadata"]["labels"]["team"]
    assert ("research", "x") == (job["metadata"]["namespace"], job["metadata"]["labels"]["project"])
    assert (3, 60, 3600) == tuple(
        job["spec"][name]
        for name in ("backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds")
    )


def test_lightermans_containers_are_as_the_spec_says(render):
    """Image, resources and flags (as their variables) of its own containers."""
    small = {"limits": {"memory": "128Mi"}}
    rendered = render(
        lighterman={
            "image": "registry/lighterman:1",
            "imagePullPolicy": "Always",
            "init": {"env": {"LIGHTERMAN_WORKERS": "32"}, "resources": small},
            "sidecar": {"env": {"LIGHTERMAN_DELETES": "mirror", "HTTPS_PROXY": "http://p:1"}},
        }
    )
    init, sidecar, check = (rendered.containers[name] for name in ("init", "sidecar", "check"))
    for container in (init, sidecar, check):
        assert ("registry/lighterman:1", "Always") == (
            container["image"],
            container["imagePullPolicy"],
        )
    assert ("32", small) == (variables(init)["LIGHTERMAN_WORKERS"], init["resources"])
    assert "mirror" == variables(sidecar)["LIGHTERMAN_DELETES"]
    assert "LIGHTERMAN_DELETES" not in variables(check)
    assert "http://p:1" == variables(check)["HTTPS_PROXY"]


def test_the_same_spec_gives_the_same_text(render):
    """Stable YAML: what didn't change shows no difference."""
    assert render().text == render().text


def test_the_yaml_is_as_a_person_would_have_written_it(render):
    """No anchors, no tags, no JSON in strings, texts of several lines as lines."""
    text = render().text
    assert "&id" not in text
    assert "!!" not in text
    assert "  job.yaml: |\n    run:\n" in text
    assert text.startswith("# Made by lighterman render. Pod Security profile: restricted.\n")


def test_a_spec_without_a_run_block_is_taken_too(render):
    """What stands under run may stand at the top."""
    members = {name: value for name, value in RUN.items() if name != "kind"}
    assert render().job == render(top={"run": ABSENT, **members}).job


@pytest.mark.parametrize("flags", [(), ("--no-native",), ("--failure-policy",)], ids=" ".join)
def test_manifests_are_valid_for_every_kubernetes_from_1_29_on(render, flags):
    """Rendered manifests are valid for Kubernetes 1.29 to the newest that kubernetes-validate knows."""
    rendered = render(*flags, completions=2)
    versions = known_versions()
    assert "1.29" == versions[0]
    assert len(versions) >= 6
    for version in versions:
        for document in rendered.documents:
            kubernetes_validate.validate(document, version, strict=True)


def test_validate_says_against_what_it_was_held(render):
    """`--validate` uses the schemas of kubernetes-validate, all from 1.29 on or the one that is named."""
    (event,) = [line for line in render("--validate").events if line["event"] == "render.validated"]
    assert " ".join(known_versions()) == event["kubernetes"]
    one = render("--validate", "--kubernetes", "1.30")
    (event,) = [line for line in one.events if line["event"] == "render.validated"]
    assert "1.30" == event["kubernetes"]


def test_validate_finds_what_no_type_of_ours_knows(render):
    """A slip deep in what is passed on is refused by its place, and nothing is printed."""
    rendered = render("--validate", main={"resources": {"limit": {"memory": "1Gi"}}})
    assert (78, "") == (rendered.code, rendered.text)
    assert "spec.template.spec.containers.0.resources" in rendered.failure["error"]
    assert "limit" in rendered.failure["error"]


def test_a_failure_policy_ends_the_job_for_what_every_pod_would_fail_with(render):
    """By our exit codes; a disruption costs no retry; and what it costs is said."""
    rendered = render("--failure-policy")
    rules = rendered.job["spec"]["podFailurePolicy"]["rules"]
    assert {"action": "Ignore"} == {"action": rules[0]["action"]}
    assert "DisruptionTarget" == rules[0]["onPodConditions"][0]["type"]
    assert ["check", "init"] == [rule["onExitCodes"]["containerName"] for rule in rules[1:]]
    assert [64, 65, 66, 77, 78] == rules[1]["onExitCodes"]["values"]
    assert "Never" == rendered.pod["restartPolicy"]
    assert any("lost with the pod" in note for note in rendered.notes)


def test_an_ordinary_sidecar_ends_with_mains_process(render):
    """`--no-native`: an ordinary container that watches main's process in a shared namespace."""
    rendered = render("--no-native", "--failure-policy")
    sidecar = rendered.pod["containers"][0]
    assert ["sidecar", "main"] == [one["name"] for one in rendered.pod["containers"]]
    assert ["--watch-process", "python"] == sidecar["args"][-2:]
    assert rendered.pod["shareProcessNamespace"] is True
    assert {"restartPolicy", "startupProbe"}.isdisjoint(sidecar)
    hook = sidecar["lifecycle"]["postStart"]["exec"]["command"]
    assert (["lighterman", "ready"], ["--wait", "300"]) == (hook[:2], hook[-2:])
    assert {"kubectl.kubernetes.io/default-container": "main"} == (
        rendered.job["spec"]["template"]["metadata"]["annotations"]
    )
    assert "LIGHTERMAN_NATIVE" not in variables(sidecar)
    rules = rendered.job["spec"]["podFailurePolicy"]["rules"]
    assert "sidecar" == rules[-1]["onExitCodes"]["containerName"]


def test_an_ordinary_sidecar_ends_by_a_done_file(render):
    """Or by a file that main writes on a volume of the outputs; then nothing is shared."""
    rendered = render("--no-native", "--done-file", "/outputs/.done")
    assert ["--done-file", "/outputs/.done"] == rendered.containers["sidecar"]["args"][-2:]
    assert "lifecycle" not in rendered.containers["sidecar"]
    assert "shareProcessNamespace" not in rendered.pod


def test_a_done_file_is_no_reference_to_a_variable(render):
    """`$(NAME)` in its name means itself: Kubernetes would expand it."""
    rendered = render("--no-native", "--done-file", "/outputs/$(HOME)")
    assert "/outputs/$$(HOME)" == rendered.containers["sidecar"]["args"][-1]


def test_a_done_file_is_no_business_of_a_job_without_outputs(render):
    """There is no sidecar that would wait for it."""
    rendered = render("--no-native", outputs=ABSENT, main={"command": ABSENT})
    assert ["init", "main"] == list(rendered.containers)


def test_what_stands_without_a_value_isnt_said(render):
    """As a template leaves it: a member that is null is as if it weren't there."""
    names = ("restartPolicy", "labels", "securityContext", "terminationGracePeriodSeconds")
    rendered = render(
        environment=dict.fromkeys(names), main=dict.fromkeys(("env", "ports")), volumes=None
    )
    assert render().text == rendered.text


OURS = {"containers", "initContainers", "ephemeralContainers", "volumes"}


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ("podspec-v1", documents.Environment),
        ("container-v1", documents.Container),
        ("volume-v1", documents.Volume),
        ("volumemount-v1", documents.VolumeMount),
        ("securitycontext-v1", documents.SecurityContext),
        ("podsecuritycontext-v1", documents.PodSecurityContext),
    ],
)
@pytest.mark.parametrize("version", [known_versions()[0], known_versions()[-1]])
def test_every_field_that_kubernetes_has_may_be_said(version, schema, type_):
    """Of the pod, main, volumes and mounts: none is unknown here that Kubernetes knows."""
    root = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    text = (root / f"v{version}.0-local-strict" / f"{schema}.json").read_text()
    known = {field.encode_name for field in msgspec.structs.fields(type_)}
    assert set() == set(json.loads(text)["properties"]) - known - OURS


def test_a_job_spec_may_come_by_a_pipe(tmp_path):
    """`render <(kustomize build …)`: it is read once."""
    (tmp_path / "connections.json").write_text(json.dumps(CONNECTIONS))
    reader, writer = os.pipe()
    os.write(writer, json.dumps(rendering.job()).encode())
    os.close(writer)
    program = Program(tmp_path, {"LIGHTERMAN_CATALOG": str(tmp_path / "connections.json")})
    finished = program.run("render", f"/dev/fd/{reader}", pass_fds=[reader])
    os.close(reader)
    assert 0 == finished.code, finished.stderr
