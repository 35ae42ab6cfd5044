"""Whom a rendered pod runs as, and which profile of the Pod Security Standards it keeps."""

import pytest
from rendering import ABSENT

from lighterman.pods.security import profile_of

ENTRY = {"connection": "data", "path": "/data"}


@pytest.mark.parametrize(
    ("flags", "main", "environment", "user"),
    [
        ((), {"runAsUser": 7}, {}, (7, None, 7)),
        ((), {"runAsUser": 7, "runAsGroup": 8}, {}, (7, 8, 8)),
        ((), ABSENT, {"securityContext": {"runAsUser": 9, "runAsGroup": 0}}, (9, 0, 9)),
        ((), {"runAsUser": 7}, {"securityContext": {"runAsUser": 9}}, (7, None, 7)),
        ((), {"runAsUser": 7}, {"securityContext": {"fsGroup": 5}}, (7, None, 5)),
        (("--run-as", "1000:100"), ABSENT, {}, (1000, 100, 100)),
        (("--run-as", "1000640000:0"), ABSENT, {}, (1000640000, 0, 1000640000)),
    ],
)
def test_all_three_run_as_mains_user(render, flags, main, environment, user):
    """Main's uid for all three, from its container, its pod or the flag; volumes are its group's."""
    rendered = render(*flags, main={"securityContext": main}, environment=environment)
    context = rendered.pod["securityContext"]
    assert user == (context["runAsUser"], context.get("runAsGroup"), context["fsGroup"])
    for container in rendered.containers.values():
        own = container.get("securityContext", {}).get("runAsUser", context["runAsUser"])
        assert user[0] == own


def test_lightermans_containers_are_restricted_and_more(render):
    """Non-root, no privilege escalation, no capabilities, seccomp, a read-only root, resources."""
    rendered = render()
    assert {"type": "RuntimeDefault"} == rendered.pod["securityContext"]["seccompProfile"]
    assert rendered.pod["securityContext"]["runAsNonRoot"] is True
    for name in ("check", "init", "sidecar"):
        container = rendered.containers[name]
        assert {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        } == container["securityContext"]
        assert "memory" in container["resources"]["limits"]


def test_main_is_restricted_where_nothing_else_is_said(render):
    """A pod is admitted as a whole: main drops what it didn't ask for, and keeps its writable root."""
    context = render().containers["main"]["securityContext"]
    assert (False, ["ALL"]) == (
        context["allowPrivilegeEscalation"],
        context["capabilities"]["drop"],
    )
    assert "readOnlyRootFilesystem" not in context


BROKEN = {
    "a root main": (
        {"main": {"securityContext": {"runAsUser": 0}}},
        "baseline",
        "the container main may escalate its privileges",
    ),
    "a hostPath": (
        {"init": [ENTRY | {"cache": "/var/cache/x"}]},
        "privileged",
        "the hostPath volume cache-x",
    ),
    "the host's network": (
        {"environment": {"hostNetwork": True}},
        "privileged",
        "hostNetwork",
    ),
    "a privileged main": (
        {"main": {"securityContext": {"runAsUser": 1000, "privileged": True}}},
        "privileged",
        "the container main is privileged",
    ),
    "a capability": (
        {"main": {"securityContext": {"runAsUser": 1, "capabilities": {"add": ["SYS_PTRACE"]}}}},
        "privileged",
        "the container main has SYS_PTRACE",
    ),
    "no seccomp": (
        {"environment": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}},
        "privileged",
        "the pod has no seccomp profile",
    ),
    "an NFS volume": (
        {"volumes": [{"name": "n", "nfs": {"server": "s", "path": "/"}}]},
        "baseline",
        "the volume n is of the kind nfs",
    ),
}


@pytest.mark.parametrize(("members", "profile", "reason"), BROKEN.values(), ids=BROKEN)
def test_the_profile_that_remains_is_named(render, members, profile, reason):
    """Where hostPath, a root main or the user's own settings break the restricted one: which remains, and why."""
    rendered = render(**members)
    assert rendered.text.startswith(
        f"# Made by lighterman render. Pod Security profile: {profile}.\n"
    )
    (note,) = [note for note in rendered.notes if "Pod Security" in note]
    assert reason in note


@pytest.mark.parametrize(
    ("annotation", "profile"),
    [
        ("unconfined", "privileged"),
        ("runtime/default", "restricted"),
        ("localhost/x", "restricted"),
    ],
)
def test_an_app_armor_annotation_counts_too(render, annotation, profile):
    """The older way to say a profile: Kubernetes' admission still looks at it."""
    name = "container.apparmor.security.beta.kubernetes.io/main"
    rendered = render(environment={"annotations": {name: annotation}})
    assert f"Pod Security profile: {profile}." in rendered.text.splitlines()[0]


@pytest.mark.parametrize("added", ["ALL", ["X", 1], [{}]])
def test_what_is_no_list_of_capabilities_is_kubernetes_to_refuse(render, added):
    """It is passed on as it stands, and `--validate` names its place."""
    main = {"securityContext": {"runAsUser": 1, "capabilities": {"add": added}}}
    assert added == (render(main=main).containers["main"]["securityContext"]["capabilities"]["add"])
    refused = render("--validate", main=main)
    assert 78 == refused.code
    assert "securityContext.capabilities.add" in refused.failure["error"]


def test_a_note_of_several_lines_stays_a_comment(render):
    """Whatever the user's names hold, nothing of them becomes a part of the manifest."""
    main = {"securityContext": {"runAsUser": 1, "capabilities": {"add": ["X\nkind: Y"]}}}
    rendered = render(main=main)
    assert ["ConfigMap", "Job"] == [one["kind"] for one in rendered.documents]


def test_a_main_that_escalates_isnt_told_not_to(render):
    """Kubernetes takes no context that adds SYS_ADMIN and allows no escalation."""
    main = {"securityContext": {"runAsUser": 1, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}}
    context = render(main=main).containers["main"]["securityContext"]
    assert "allowPrivilegeEscalation" not in context


def test_a_root_main_keeps_what_root_needs(render):
    """Nothing is dropped from a main that runs as root: its image expects it."""
    rendered = render(main={"securityContext": {"runAsUser": 0}})
    assert {"runAsUser": 0} == rendered.containers["main"]["securityContext"]
    assert "runAsNonRoot" not in rendered.pod["securityContext"]


RESTRICTED = {
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 1,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [
        {
            "name": "main",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}


def altered(*, pod=None, main=None, context=None):
    """A restricted pod's spec with other members in the pod, the container or its context."""
    (container,) = RESTRICTED["containers"]
    own = {**container["securityContext"], **(context or {})}
    changed = {**container, **(main or {}), "securityContext": own}
    return {**RESTRICTED, "containers": [changed], **(pod or {})}


@pytest.mark.parametrize(
    ("spec", "profile"),
    [
        (altered(), "restricted"),
        (altered(pod={"hostPID": True}), "privileged"),
        (altered(pod={"hostIPC": True}), "privileged"),
        (altered(main={"ports": [{"containerPort": 1, "hostPort": 1}]}), "privileged"),
        (altered(main={"ports": [{"containerPort": 1}]}), "restricted"),
        (altered(context={"procMount": "Unmasked"}), "privileged"),
        (altered(context={"appArmorProfile": {"type": "Unconfined"}}), "privileged"),
        (altered(context={"seLinuxOptions": {"type": "spc_t"}}), "privileged"),
        (altered(context={"seLinuxOptions": {"type": "container_t"}}), "restricted"),
        (altered(context={"windowsOptions": {"hostProcess": True}}), "privileged"),
        (
            altered(main={"livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}}}),
            "privileged",
        ),
        (altered(main={"livenessProbe": {"httpGet": {"port": 1}}}), "restricted"),
        (altered(context={"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}), "baseline"),
        (
            altered(context={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
            "restricted",
        ),
        (altered(context={"capabilities": {"drop": ["CHOWN"]}}), "baseline"),
        (altered(context={"runAsNonRoot": False}), "baseline"),
        (altered(context={"runAsUser": 0}), "baseline"),
        (
            altered(
                pod={"securityContext": {**RESTRICTED["securityContext"], "runAsUser": 0}},
                context={"runAsUser": 1},
            ),
            "baseline",
        ),
        (altered(context={"seLinuxOptions": {"type": None}}), "restricted"),
        (altered(main={"livenessProbe": {"httpGet": None, "exec": {}}}), "restricted"),
        (altered(context={"seccompProfile": {"type": "Localhost"}}), "restricted"),
        (altered(pod={"securityContext": {"runAsNonRoot": True}}), "baseline"),
        (
            altered(
                pod={
                    "securityContext": {
                        **RESTRICTED["securityContext"],
                        "sysctls": [{"name": "kernel.msgmax", "value": "1"}],
                    }
                }
            ),
            "privileged",
        ),
        (altered(pod={"volumes": [{"name": "v", "emptyDir": {}}]}), "restricted"),
        (altered(pod={"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "privileged"),
        (altered(pod={"volumes": [{"name": "v", "fc": {}}]}), "baseline"),
        (
            altered(pod={"initContainers": [{"name": "other", "securityContext": {}}]}),
            "baseline",
        ),
    ],
)
def test_profiles_go_by_the_standards_rules(spec, profile):
    """Each rule of the Pod Security Standards, alone."""
    assert profile == profile_of(spec).name
