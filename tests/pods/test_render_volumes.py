"""Where the paths of a rendered pod lie."""

import pytest
from rendering import ABSENT, CONNECTIONS, mounts

ENTRY = {"connection": "data", "path": "/data"}
CLAIM = {"name": "work", "persistentVolumeClaim": {"claimName": "work"}}


def test_each_path_gets_an_empty_dir_that_all_of_its_containers_share(render):
    """Main reads where init writes, and the sidecar where main writes."""
    rendered = render()
    of = {name: mounts(container) for name, container in rendered.containers.items()}
    assert of["init"]["/data"] == of["main"]["/data"]
    assert of["sidecar"]["/outputs"] == of["main"]["/outputs"]
    for path in ("/data", "/outputs"):
        assert {} == rendered.volumes[of["main"][path]]["emptyDir"]


def test_the_journal_has_a_volume_of_its_own(render):
    """It outlives the sidecar's container, and main can't touch it."""
    rendered = render()
    of = {name: mounts(container) for name, container in rendered.containers.items()}
    assert "emptyDir" in rendered.volumes[of["sidecar"]["/var/lib/lighterman"]]
    assert "/var/lib/lighterman" not in of["main"]


def test_empty_dirs_are_limited_as_is_said(render):
    """`--size-limit` holds for each emptyDir that is made; without it there is none."""
    limited = render("--size-limit", "50Gi")
    volumes = [one["emptyDir"] for one in limited.volumes.values() if "emptyDir" in one]
    assert [{"sizeLimit": "50Gi"}] * 3 == volumes


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        (CLAIM, {"name": "work", "mountPath": "/data"}),
        (CLAIM, {"name": "work", "mountPath": "/data", "readOnly": True}),
        (CLAIM, {"name": "work", "mountPath": "/data", "subPath": "sets"}),
        (
            {"name": "work", "emptyDir": {"sizeLimit": "1Ti"}},
            {"name": "work", "mountPath": "/data"},
        ),
        (
            {"name": "work", "hostPath": {"path": "/srv"}},
            {"name": "work", "mountPath": "/data"},
        ),
    ],
    ids=["a claim", "read-only for main", "a part of it", "an emptyDir with a limit", "a hostPath"],
)
def test_a_path_lies_on_the_volume_that_main_mounts_there(render, volume, mount):
    """The user's own volume, and the same part of it; writable for init, whatever main may."""
    rendered = render(volumes=[volume], main={"volumeMounts": [mount]})
    init = rendered.containers["init"]["volumeMounts"]
    (found,) = [one for one in init if one["name"] == "work"]
    assert {name: value for name, value in mount.items() if name != "readOnly"} == found
    assert mount in rendered.containers["main"]["volumeMounts"]
    assert volume in rendered.pod["volumes"]


def test_a_path_lies_on_the_volume_that_main_mounts_above_it(render):
    """The same volume at the same place, in which the path is a directory."""
    mount = {"name": "work", "mountPath": "/mnt"}
    rendered = render(
        volumes=[CLAIM], main={"volumeMounts": [mount]}, init=[ENTRY | {"path": "/mnt/data"}]
    )
    assert mount in rendered.containers["init"]["volumeMounts"]


def test_paths_in_one_another_share_a_volume(render):
    """The outer one's: a mount inside another would hide it."""
    rendered = render(init=[ENTRY, ENTRY | {"path": "/data/more"}])
    of = mounts(rendered.containers["init"])
    assert "/data" in of
    assert "/data/more" not in of


def test_a_volume_connection_is_mounted_where_it_says(render):
    """Read-only to read from it; main has it where it names it."""
    claim = {
        "name": "sets",
        "kind": "volume_claim",
        "schema": {"volumeClaim": "sets-claim", "mountPath": "/mnt/sets"},
    }
    rendered = render(
        catalog=[claim, CONNECTIONS[1]],
        init=[ENTRY | {"connection": "sets"}],
        connections=["sets"],
    )
    (mount,) = [
        one
        for one in rendered.containers["init"]["volumeMounts"]
        if one["mountPath"] == "/mnt/sets"
    ]
    assert mount["readOnly"] is True
    source = rendered.volumes[mount["name"]]["persistentVolumeClaim"]
    assert "sets-claim" == source["claimName"]
    assert mount["name"] == mounts(rendered.containers["main"])["/mnt/sets"]
    assert "/mnt/sets" not in mounts(rendered.containers["sidecar"])


def test_outputs_go_to_a_volume_that_the_sidecar_may_write(render):
    """A volume as the destination is mounted writable in check and sidecar."""
    host = {
        "name": "runs",
        "kind": "host_path",
        "schema": {"hostPath": "/srv/runs", "mountPath": "/mnt/runs"},
    }
    rendered = render(catalog=[CONNECTIONS[0], host])
    for name in ("check", "sidecar"):
        (mount,) = [
            one
            for one in rendered.containers[name]["volumeMounts"]
            if one["mountPath"] == "/mnt/runs"
        ]
        assert "readOnly" not in mount
        assert "/srv/runs" == rendered.volumes[mount["name"]]["hostPath"]["path"]


def test_a_cache_is_a_directory_of_the_node(render):
    """A hostPath for init, which main doesn't see; that it must be writable is said."""
    rendered = render(init=[ENTRY | {"cache": "/var/cache/lighterman"}])
    volume = mounts(rendered.containers["init"])["/var/cache/lighterman"]
    assert {"path": "/var/cache/lighterman", "type": "DirectoryOrCreate"} == (
        rendered.volumes[volume]["hostPath"]
    )
    assert "/var/cache/lighterman" not in mounts(rendered.containers["main"])
    assert any("writable for uid 1000" in note for note in rendered.notes)


def test_a_resumed_run_has_one_volume_for_both(render):
    """An outputs path at an init path of the same connection and prefix is a resumed run: allowed."""
    rendered = render(
        init=[{"connection": "runs", "artifacts": {"dirs": [["7", "."]]}, "path": "/work"}],
        outputs={"connection": "runs", "path": "/work", "to": "7"},
    )
    of = {name: mounts(container)["/work"] for name, container in rendered.containers.items()}
    assert 1 == len(set(of.values()))


def test_a_resumed_run_of_a_whole_connection_is_allowed_too(render):
    """No artifacts and no prefix: the connection's root both ways."""
    rendered = render(
        init=[{"connection": "runs", "path": "/work"}],
        outputs={"connection": "runs", "path": "/work"},
    )
    assert 0 == rendered.code


def test_the_volumes_of_a_path_are_called_as_it_is(render):
    """A name of Kubernetes' made of the path's last part, never one that is taken."""
    taken = {"name": "data", "emptyDir": {}}
    rendered = render(
        volumes=[taken],
        init=[ENTRY, {"connection": "data", "path": "/srv/My_Sets.v2"}],
        outputs=ABSENT,
    )
    of = mounts(rendered.containers["init"])
    assert ("data-2", "my-sets-v2") == (of["/data"], of["/srv/My_Sets.v2"])


def test_a_claim_that_main_shares_may_hold_what_init_brings(render):
    """A volume connection that main names is main's volume at its mountPath: init writes there."""
    claim = {
        "name": "data",
        "kind": "volume_claim",
        "schema": {"volumeClaim": "c", "mountPath": "/mnt/"},
    }
    rendered = render(
        catalog=[claim, CONNECTIONS[1]],
        connections=["data"],
        init=[{"connection": "runs", "path": "/mnt/x"}],
    )
    for name in ("check", "init", "main"):
        (mount,) = [
            one for one in rendered.containers[name]["volumeMounts"] if one["mountPath"] == "/mnt"
        ]
        assert "readOnly" not in mount


def test_a_part_of_a_volume_named_by_variables_is_the_same_for_all(render):
    """`subPathExpr`: who shares main's mount has main's variables that it is made of, and none else."""
    env = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "OTHER", "value": "x"},
        {"name": "PART", "value": "parts/$(POD)"},
    ]
    mount = {"name": "work", "mountPath": "/data", "subPathExpr": "$(PART)/sets"}
    rendered = render(volumes=[CLAIM], main={"env": env, "volumeMounts": [mount]})
    for name in ("check", "init"):
        container = rendered.containers[name]
        assert mount in container["volumeMounts"]
        shared = [one for one in container["env"] if one["name"] in ("POD", "OTHER", "PART")]
        assert [env[0], env[2]] == shared
    names = [one["name"] for one in rendered.containers["sidecar"]["env"]]
    assert "PART" not in names


def test_a_job_without_outputs_has_no_volume_for_a_journal(render):
    """Nothing is made that nobody mounts."""
    rendered = render(outputs=ABSENT)
    mounted = {name for one in rendered.containers.values() for name in mounts(one).values()}
    assert mounted == set(rendered.volumes)
