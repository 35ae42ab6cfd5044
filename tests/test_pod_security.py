"""The rules of the restricted profile: what keeps them all, and each one broken."""

import copy

import pytest
from pod_security import violations

KEPT = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "initContainers": [
        {
            "name": "init",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "containers": [
        {
            "name": "main",
            "ports": [{"containerPort": 8080}],
            "livenessProbe": {"httpGet": {"port": 8080}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                "runAsUser": 1000,
            },
        }
    ],
    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "keys", "secret": {"secretName": "s"}}],
}
MAIN = ("containers", 0)
INIT = ("initContainers", 0)


def test_a_pod_that_keeps_all_rules_breaks_none():
    """What isn't said in a container is the pod's."""
    assert violations(KEPT) == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("hostNetwork",), True, "pod: hostNetwork"),
        (("hostPID",), True, "pod: hostPID"),
        (("hostIPC",), True, "pod: hostIPC"),
        (
            ("securityContext", "sysctls"),
            [{"name": "kernel.msgmax", "value": "1"}],
            "pod: sysctl kernel.msgmax",
        ),
        (("volumes", 0), {"name": "data", "hostPath": {"path": "/x"}}, "volume data: hostPath"),
        (("volumes", 0), {"name": "data", "nfs": {"server": "s"}}, "volume data: nfs"),
        (("securityContext", "runAsUser"), 0, "pod: runAsUser 0"),
        (("securityContext", "runAsNonRoot"), False, "pod: runAsNonRoot false"),
        (
            ("securityContext", "seccompProfile"),
            {"type": "Unconfined"},
            "pod: seccompProfile Unconfined",
        ),
        (
            (*MAIN, "securityContext", "appArmorProfile"),
            {"type": "Unconfined"},
            "container main: appArmorProfile Unconfined",
        ),
        (
            (*MAIN, "securityContext", "seLinuxOptions"),
            {"type": "spc_t"},
            "container main: seLinuxOptions",
        ),
        (("securityContext", "seLinuxOptions"), {"user": "system_u"}, "pod: seLinuxOptions"),
        (
            (*INIT, "securityContext", "windowsOptions"),
            {"hostProcess": True},
            "container init: hostProcess",
        ),
        ((*INIT, "securityContext", "privileged"), True, "container init: privileged"),
        (
            (*INIT, "securityContext", "allowPrivilegeEscalation"),
            None,
            "container init: allowPrivilegeEscalation isn't false",
        ),
        (
            (*MAIN, "securityContext", "capabilities"),
            {},
            "container main: capabilities aren't dropped",
        ),
        (
            (*MAIN, "securityContext", "capabilities", "add"),
            ["SYS_ADMIN"],
            "container main: capabilities are added",
        ),
        (
            (*MAIN, "securityContext", "procMount"),
            "Unmasked",
            "container main: procMount Unmasked",
        ),
        ((*MAIN, "securityContext", "runAsUser"), 0, "container main: runAsUser 0"),
        (
            (*MAIN, "securityContext", "runAsNonRoot"),
            False,
            "container main: runAsNonRoot isn't true",
        ),
        ((*MAIN, "ports", 0, "hostPort"), 80, "container main: hostPort 80"),
        (
            (*MAIN, "livenessProbe", "httpGet", "host"),
            "10.0.0.1",
            "container main: a probe of another host",
        ),
    ],
)
def test_each_rule_is_seen_where_it_is_broken(path, value, line):
    """One change, and it is named."""
    pod = copy.deepcopy(KEPT)
    parent = pod
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    assert line in violations(pod)


@pytest.mark.parametrize(
    ("field", "line"),
    [("runAsNonRoot", "runAsNonRoot isn't true"), ("seccompProfile", "no seccompProfile")],
)
def test_what_neither_says_is_broken_in_each_container(field, line):
    """A pod that says nothing leaves it to its containers."""
    pod = copy.deepcopy(KEPT)
    del pod["securityContext"][field]
    assert violations(pod) == [f"container init: {line}", f"container main: {line}"]
