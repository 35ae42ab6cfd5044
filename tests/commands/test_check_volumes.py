"""`lighterman check` of volumes, of directories and of what a job spec uses."""

import os
import secrets
import subprocess
import time

import inotify_limits
import msgspec
import pytest
from told import findings, states

WITHOUT_PRIVILEGES = (
    ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.getuid() == 0 else ()
)
"""The superuser may write everywhere; a container's user may not."""
STALE_SECONDS = 7200
HUGE_BYTES = 1 << 42


@pytest.fixture
def volume(tmp_path):
    """A directory that is a connection's."""
    place = tmp_path / "volume"
    place.mkdir()
    return place


def entry_of(place, name="volume", **schema):
    """A host_path connection of the catalog."""
    where = {"hostPath": str(place), "mountPath": str(place)}
    return {"name": name, "kind": "host_path", "schema": where | schema}


def _spec(tmp_path, **blocks):
    file = tmp_path / "job.json"
    file.write_bytes(msgspec.json.encode(blocks))
    return file


def _left(*places):
    return [
        name
        for place in places
        for _, _, names in os.walk(place)
        for name in names
        if ".lighterman" in name
    ]


def test_a_volume_to_read(volume, program_with):
    """Mounted, listed, one range read; nothing is written."""
    (volume / "file").write_bytes(b"content")
    before = volume.stat().st_mtime_ns
    finished = program_with(entry_of(volume, readOnly=True)).run("check", "volume")
    assert 0 == finished.code, finished.stdout
    assert {"list": "ok", "read": "ok"}.items() <= states(finished).items()
    assert before == volume.stat().st_mtime_ns


def test_a_volume_to_write(volume, program_with):
    """Writable as this uid, with space; probes written, made of parts, deleted."""
    finished = program_with(entry_of(volume)).run("check", "volume", "--write", "--to", "runs/1")
    assert 0 == finished.code, finished.stdout
    seen = states(finished)
    checks = ("writable", "space", "write", "read back", "conditions", "multipart", "delete")
    assert dict.fromkeys(checks, "ok") == {check: seen[check] for check in checks}
    assert [] == _left(volume)
    assert f"uid {os.geteuid()}" in findings(finished)["volume", "writable"]["said"]


def test_a_volume_that_isnt_mounted(tmp_path, program_with):
    """78: it names the path and the mend."""
    finished = program_with(entry_of(tmp_path / "nowhere")).run("check", "volume")
    assert 78 == finished.code
    assert "mountPath" in findings(finished)["volume", "mounted"]["hint"]


def test_outputs_to_a_read_only_connection(volume, program_with):
    """73: readOnly."""
    finished = program_with(entry_of(volume, readOnly=True)).run("check", "volume", "--write")
    assert 73 == finished.code
    assert "take readOnly out" in findings(finished)["volume", "writable"]["hint"]


def test_a_directory_that_may_not_be_written(volume, program_with):
    """73: names the uid, the directory's owner and its mode."""
    volume.chmod(0o555)
    finished = program_with().run("check", "--path", volume, through=WITHOUT_PRIVILEGES)
    volume.chmod(0o755)
    assert 73 == finished.code, finished.stdout
    line = findings(finished)[str(volume), "writable"]
    assert f"uid {os.geteuid()}" in line["said"]
    assert "dr-xr-xr-x" in line["said"]
    assert f"owner {os.geteuid()}:" in line["said"]
    assert "runAsUser" in line["hint"]


def test_a_volume_that_may_not_be_read(volume, program_with):
    """77, as for init: it is named with its owner and mode."""
    volume.chmod(0o000)
    finished = program_with(entry_of(volume)).run("check", "volume", through=WITHOUT_PRIVILEGES)
    volume.chmod(0o755)
    assert 77 == finished.code, finished.stdout
    assert "d---------" in findings(finished)["volume", "mounted"]["said"]


def test_outputs_path(volume, program_with):
    """Writable, space, inotify events that really arrive, watches enough, the grace."""
    (volume / "a" / "b").mkdir(parents=True)
    finished = program_with().run("check", "--path", volume)
    assert 0 == finished.code, finished.stdout
    assert {
        "writable": "ok",
        "space": "ok",
        "readable": "ok",
        "events": "ok",
        "watches": "ok",
        "grace": "skipped",
    } == states(finished)
    assert findings(finished)[str(volume), "watches"]["said"].startswith("3 directories, ")
    assert [] == _left(volume)


def test_an_outputs_path_that_isnt_there_yet(tmp_path, program_with):
    """A missing outputs path is made; check only looks whether it could be."""
    path = tmp_path / "not" / "yet"
    finished = program_with().run("check", "--path", path)
    assert 0 == finished.code
    assert not (tmp_path / "not").exists()
    assert str(tmp_path) in findings(finished)[str(path), "writable"]["said"]


def test_an_outputs_path_that_is_a_file(tmp_path, program_with):
    """73."""
    (tmp_path / "file").write_bytes(b"")
    finished = program_with().run("check", "--path", tmp_path / "file")
    assert 73 == finished.code
    assert "no directory" in finished.report["error"]["message"]


@pytest.mark.parametrize("target", ["", "a directory that is not there"])
def test_an_outputs_path_below_what_is_no_directory(target, tmp_path, program_with):
    """73: nothing can be made below a file, or below a link to nowhere."""
    stands = tmp_path / "stands"
    if target:
        stands.symlink_to(tmp_path / target)
    else:
        stands.write_text("a file")
    path = stands / "deep" / "outputs"
    finished = program_with().run("check", "--path", path)
    assert 73 == finished.code
    assert f"{stands} is no directory" == findings(finished)[str(path), "writable"]["said"]


def test_where_nothing_can_be_written_for_another_reason(program_with):
    """73, and no word of room where room isn't what lacks."""
    finished = program_with().run("check", "--path", "/proc")
    assert 73 == finished.code
    assert "room" not in findings(finished)["/proc", "writable"]["hint"]


@pytest.mark.parametrize(("mode", "code", "state"), [(0o300, 73, "failed"), (0o700, 0, "warning")])
def test_outputs_that_may_not_be_read(mode, code, state, volume, program_with):
    """73 where the drain could list nothing; what is there and can't be read is named before it fails one."""
    (volume / "closed").write_text("x")
    (volume / "closed").chmod(0o200)
    (volume / ".lighterman").mkdir(0o300)
    volume.chmod(mode)
    finished = program_with().run("check", "--path", volume, through=WITHOUT_PRIVILEGES)
    volume.chmod(0o700)
    line = findings(finished)[str(volume), "readable"]
    assert (code, state) == (finished.code, line["state"]), finished.stdout
    assert "fsGroup" in line["hint"]
    if state == "warning":
        assert line["said"].endswith(f": {volume}/closed")


def test_probes_of_checks_that_were_killed_are_taken_away(volume, program_with):
    """Old ones; not those of a check that runs, nor anything with another name."""
    old, young = (volume / f".lighterman-check-{secrets.token_hex(8)}" for _ in range(2))
    other = volume / ".lighterman-check-notes"
    for file in (old, young, other):
        file.write_bytes(b"x")
    for file in (old, other):
        os.utime(file, (time.time() - STALE_SECONDS,) * 2)
    finished = program_with(entry_of(volume)).run("check", "volume", "--write")
    assert 0 == finished.code
    # Where a volume keeps parts stays: it is empty, and no listing shows it.
    assert {young.name, other.name} == set(os.listdir(volume)) - {".lighterman-uploads"}


def test_a_job_spec(volume, tmp_path, program_with):
    """What it reads is there, what it writes may be written, its paths have space and events."""
    source = tmp_path / "source"
    (source / "train").mkdir(parents=True)
    (source / "train" / "a").write_bytes(b"12345")
    (source / "labels").write_bytes(b"12")
    outputs, data = tmp_path / "outputs", tmp_path / "data"
    outputs.mkdir()
    spec = _spec(
        tmp_path,
        run={
            "connections": ["other"],
            "init": [
                {
                    "connection": "source",
                    "artifacts": {"dirs": ["train"], "files": ["labels"]},
                    "path": str(data),
                }
            ],
            "outputs": {"connection": "volume", "path": str(outputs), "to": "runs/{pod}"},
        },
    )
    program = program_with(
        entry_of(source, "source", readOnly=True),
        entry_of(volume),
        entry_of(tmp_path, "other"),
        POD_NAME="pod-7",
    )
    finished = program.run("check", "--spec", spec, "--grace", "60")
    assert 0 == finished.code, finished.stdout
    found = findings(finished)
    assert "train: 1 objects" in found["source", "list"]["said"]
    assert "ok" == found["volume:runs/pod-7", "write"]["state"]
    assert "8.0 KiB to come" in found[str(data), "space"]["said"]
    assert "ok" == found[str(outputs), "events"]["state"]
    assert "60 s are " in found[str(outputs), "grace"]["said"]
    assert ("source", "write") not in found
    assert not data.exists()
    assert [] == _left(source, volume, outputs)


def test_declared_sources_that_arent_there(volume, tmp_path, program_with):
    """66: all of them by name; optional ones are none."""
    (volume / "model-hf").mkdir()
    (volume / "model-hf" / "a").write_bytes(b"x")
    spec = _spec(
        tmp_path,
        init=[
            {
                "connection": "volume",
                "artifacts": {"dirs": ["model"], "files": ["no-file"]},
                "path": str(tmp_path),
            },
            {
                "connection": "volume",
                "artifacts": {"dirs": ["perhaps"]},
                "path": str(tmp_path),
                "optional": True,
            },
        ],
    )
    finished = program_with(entry_of(volume)).run("check", "--spec", spec)
    assert 66 == finished.code
    assert "not there: model, no-file" == findings(finished)["volume", "sources"]["said"]


def test_what_init_would_bring_has_to_fit(volume, tmp_path, program_with):
    """73 before any byte: how much is to come, and how much is free."""
    with (volume / "huge").open("wb") as file:
        file.truncate(HUGE_BYTES)
    spec = _spec(tmp_path, init=[{"connection": "volume", "path": str(tmp_path / "data")}])
    finished = program_with(entry_of(volume)).run("check", "--spec", spec)
    assert 73 == finished.code
    said = findings(finished)[str(tmp_path / "data"), "space"]["said"]
    assert f"{HUGE_BYTES} bytes are needed" in said


def test_destinations_of_one_filesystem_share_its_space(volume, tmp_path, program_with):
    """Each alone would fit."""
    free_bytes = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with (volume / "large").open("wb") as file:
        file.truncate(free_bytes * 2 // 3)
    spec = _spec(
        tmp_path,
        init=[{"connection": "volume", "path": str(tmp_path / name)} for name in ("one", "two")],
    )
    finished = program_with(entry_of(volume)).run("check", "--spec", spec)
    assert 73 == finished.code
    assert "bytes are needed" in findings(finished)[str(tmp_path / "one"), "space"]["said"]


def test_what_is_there_already_needs_no_space(volume, tmp_path, program_with):
    """A check beside a finished init doesn't count its files again."""
    data = tmp_path / "data"
    data.mkdir()
    for place in (volume, data):
        with (place / "huge").open("wb") as file:
            file.truncate(HUGE_BYTES)
    spec = _spec(tmp_path, init=[{"connection": "volume", "path": str(data)}])
    finished = program_with(entry_of(volume)).run("check", "--spec", spec)
    assert 0 == finished.code, finished.stdout


def test_more_outputs_than_the_grace_is_long(volume, tmp_path, program_with):
    """A warning that tells rate, time and grace."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with (outputs / "huge").open("wb") as file:
        file.truncate(HUGE_BYTES)
    finished = program_with(entry_of(volume)).run(
        "check", "--connection", "volume", "--path", outputs, "--grace", "1"
    )
    line = findings(finished)[str(outputs), "grace"]
    assert (0, "warning") == (finished.code, line["state"])
    assert "terminationGracePeriodSeconds" in line["hint"]


def test_a_spec_without_anything_of_ours(tmp_path, program_with):
    """78: nothing was checked, which mustn't look like success."""
    finished = program_with().run("check", "--spec", _spec(tmp_path, kind="job"))
    assert 78 == finished.code
    assert "neither init, connections nor outputs" in finished.report["error"]["message"]


TMPFS = ("unshare", "--mount", "sh", "-c")
TINY = 'mount -t tmpfs -o size=64k none "$0" && head -c 65536 /dev/zero > "$0/fill"; exec "$@"'
READ_ONLY = 'mount -t tmpfs none "$0" && mount -o remount,ro "$0" && exec "$@"'


def _may_mount():
    done = subprocess.run([*TMPFS, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    return done.returncode == 0


if os.getuid() == 0 and _may_mount():

    def test_a_full_volume(volume, program_with):
        """73: no space, said before a job finds out."""
        finished = program_with(entry_of(volume)).run(
            "check", "volume", "--write", "--path", volume, through=(*TMPFS, TINY, str(volume))
        )
        assert 73 == finished.code, finished.stdout
        line = findings(finished)["volume", "writable"]
        assert ("failed", "make room, or give the volume a larger size") == (
            line["state"],
            line["hint"],
        )

    def test_a_volume_that_is_mounted_read_only(volume, program_with):
        """73: the mount is what stands against it, not the mode."""
        finished = program_with(entry_of(volume)).run(
            "check", "volume", "--write", through=(*TMPFS, READ_ONLY, str(volume))
        )
        assert 73 == finished.code, finished.stdout
        found = findings(finished)
        assert "tmpfs at " in found["volume", "mounted"]["said"]
        assert "mounted read-only" in found["volume", "writable"]["hint"]


if inotify_limits.may_be_lowered():

    @pytest.mark.parametrize("limit", ["instances", "watches"])
    def test_a_user_without_inotify_left(limit, volume, program_with):
        """A warning that names the limit: changes are found by looking."""
        through = inotify_limits.without(limit)
        finished = program_with().run("check", "--path", volume, through=through)
        line = findings(finished)[str(volume), "events"]
        assert (0, "warning") == (finished.code, line["state"]), finished.stdout
        assert f"fs.inotify.max_user_{limit}" in line["hint"]
