"""
A bucket, a listing and a volume that mean harm: nothing is written outside the destination, and each refusal
names its key.
"""

import json
import os
import socket
import stat
import subprocess
import unicodedata
from urllib.parse import quote

import pytest
from pulls import MIB, Pull, gets
from servers.faults import Answer, Call, CallAfter, is_get, is_listing

from initializer.place import temporary_of

HOSTILE = {
    "/etc/absolute": "it is absolute",
    "../above": "it has a '..' component",
    "a/../../escape": "it has a '..' component",
    "deep/..": "it has a '..' component",
    "twice//slashed": "it has an empty or '.' component",
    "./here": "it has an empty or '.' component",
    "n" * 300: "it has a component of more than 255 bytes",
    f"dir/{'ü' * 150}/x": "it has a component of more than 255 bytes",
    "file/below": "its directory is where the file of 'file' goes",
    ".lighterman": "the name .lighterman is reserved at a destination's root",
    ".lighterman/init.sqlite3": "the name .lighterman is reserved at a destination's root",
    ".lighterman/journal.db": "the name .lighterman is reserved at a destination's root",
    "zz/.lighterman-0123456789abcdef.tmp": "its name is reserved for files under way",
}
"""Each key with why it is refused, in a bucket that has ``file`` too."""


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts and spoils what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a fresh bucket, through the proxy."""
    return Pull(s3_bucket, tmp_path, proxy.url)


@pytest.fixture
def outside(tmp_path):
    """A directory with a file that nobody may touch."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "victim").write_bytes(b"mine")
    return place


def is_untouched(outside):
    return [path.name for path in outside.iterdir()] == ["victim"] and (
        outside / "victim"
    ).read_bytes() == b"mine"


def listed(*pages):
    """Answers in the place of a listing's pages: each a list of keys."""
    answers = []
    for number, keys in enumerate(pages):
        items = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>1</Size><ETag>&quot;{'0' * 31}{number}&quot;</ETag>"
            "<LastModified>2025-11-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
        )
        more = number + 1 < len(pages)
        token = f"<NextContinuationToken>{number}</NextContinuationToken>" if more else ""
        body = (
            "<ListBucketResult><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>"
        )
        answers.append(Answer(200, body.encode(), Content_Type="application/xml"))
    return answers


def refused(finished):
    """Key to reason of every refusal of a dry run."""
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    return {line["key"]: line["reason"] for line in lines if line["action"] == "refuse"}


@pytest.mark.parametrize(
    "bucket_fixture", ["s3_bucket", pytest.param("rgw_bucket", marks=pytest.mark.ceph)]
)
def test_a_hostile_bucket_is_refused_key_by_key(bucket_fixture, request, tmp_path, outside):
    """Each refusal names its key, exit 65, and nothing is written anywhere."""
    bucket = request.getfixturevalue(bucket_fixture)
    pull = Pull(bucket, tmp_path)
    pull.program.environ["AWS_SECRET_ACCESS_KEY"] = bucket.secret_access_key
    for key in ("file", "fine/x", *HOSTILE):
        bucket.put(key, b"evil")
    before = {path: path.lstat().st_ctime_ns for path in tmp_path.rglob("*")}
    finished = pull.run()
    message = finished.report["error"]["message"]
    named = [key for key in HOSTILE if repr(key) in message]
    assert finished.code == 65
    assert len(named) == 10
    assert message.endswith(f"and {len(HOSTILE) - 10} more")
    assert not pull.dest.exists()
    after = {path: path.lstat().st_ctime_ns for path in tmp_path.rglob("*")}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed == {"report-1.json"}
    assert refused(pull.run("--dry-run")) == HOSTILE
    assert is_untouched(outside)


def test_keys_that_no_server_would_take_are_refused_too(pull, proxy):
    """NUL, and what a listing may hold that wasn't made by S3."""
    hostile = {
        "nul\0byte": "it holds a NUL",
        "\0": "it holds a NUL",
        "/": "it is absolute",
        "//": "it is absolute",
        "..": "it has a '..' component",
        "../": "it has a '..' component",
        "a/./": "it has an empty or '.' component",
    }
    [answer] = listed(sorted(hostile))
    proxy.on(is_listing, answer, times=None)
    finished = pull.run()
    assert (finished.code, gets(proxy)) == (65, [])
    assert all(repr(key) in finished.report["error"]["message"] for key in hostile)
    assert refused(pull.run("--dry-run")) == hostile
    assert not pull.dest.exists()


def test_names_that_differ_in_unicode_form_are_two_files(pull):
    """On Linux they are two names, and both come."""
    names = [unicodedata.normalize(form, "é/ñandú") for form in ("NFC", "NFD")]
    for name in (*names, "É/ñandú", "Case", "case"):
        pull.bucket.put(name, name.encode())
    assert pull.run().code == 0
    assert pull.files() == {name: name.encode() for name in (*names, "É/ñandú", "Case", "case")}


def test_a_key_as_long_as_they_come(pull):
    """1,024 bytes in 512 components."""
    key = "a/" * 511 + "ab"
    pull.bucket.put(key, b"deep")
    assert pull.run().code == 0
    assert (pull.dest / key).read_bytes() == b"deep"
    assert pull.run().report["skipped"] == 1


def test_a_path_that_is_too_long_is_refused(pull, tmp_path):
    """The destination counts too."""
    key = "/".join(["k" * 200] * 5)
    pull.bucket.put(key, b"deep")
    pull.dest = tmp_path.joinpath(*["d" * 250] * 13)
    finished = pull.run()
    assert (finished.code, repr(key) in finished.report["error"]["message"]) == (65, True)
    assert list(refused(pull.run("--dry-run"))) == [key]


def planted(pull, proxy, plant):
    """``plant`` is called between the plan and the fetch: with the first GET."""
    pull.bucket.put("a-first", b"1")
    proxy.on(lambda request: is_get(request) and request.path.endswith("/a-first"), Call(plant))
    return pull.run("--workers", "1")


@pytest.mark.parametrize("size", [1, 20 * MIB], ids=["small", "large"])
@pytest.mark.parametrize("was_there", [True, False], ids=["swapped", "new"])
def test_a_link_planted_between_plan_and_fetch_is_not_followed(
    pull, proxy, outside, size, was_there
):
    """65, by name, and not a byte goes through it."""
    pull.bucket.put("deep/d/x", b"1" * size)
    if was_there:
        (pull.dest / "deep" / "d").mkdir(parents=True)

    def plant(_):
        if was_there:
            (pull.dest / "deep" / "d").rename(pull.dest / "away")
        else:
            (pull.dest / "deep").mkdir(exist_ok=True)
        (pull.dest / "deep" / "d").symlink_to(outside)

    finished = planted(pull, proxy, plant)
    assert finished.code == 65, finished.stderr
    message = finished.report["error"]["message"]
    assert message.startswith(f"{pull.dest}/deep/d leads out of the destination")
    assert is_untouched(outside)
    assert pull.temporaries() == []


def test_a_directory_made_through_a_planted_link_is_taken_away(pull, proxy, outside):
    """Also what would only be made there is nothing outside the destination."""
    pull.bucket.put("deep/d/e/x", b"1")
    (pull.dest / "deep").mkdir(parents=True)

    def plant(_):
        (pull.dest / "deep").rmdir()
        (pull.dest / "deep").symlink_to(outside)

    assert planted(pull, proxy, plant).code == 65
    assert is_untouched(outside)


def fifo(path):
    os.mkfifo(path)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(path.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{descriptor}/{path.name}")
        os.close(descriptor)


def device(path):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def dangling(path):
    path.symlink_to("/no/such/place")


def loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("plant", [fifo, unix_socket, device, dangling, loop])
@pytest.mark.parametrize("size", [5, 20 * MIB], ids=["small", "large"])
def test_special_files_in_the_way_are_replaced_not_opened(pull, plant, size):
    """Under the final name and under the temporary one; nobody waits for a fifo's other end."""
    pull.bucket.put("x", b"1" * size)
    pull.dest.mkdir()
    plant(pull.dest / "x")
    temporary = temporary_of(f"{pull.dest}/x")
    plant(pull.dest / os.path.basename(temporary))
    assert pull.run().code == 0
    assert pull.files() == {"x": b"1" * size}
    assert pull.temporaries() == []


@pytest.mark.parametrize("plant", [fifo, unix_socket, device, dangling, loop])
def test_a_special_file_where_a_directory_goes_is_named(pull, plant):
    """73: it is somebody's; a symlink that leads nowhere is one that leaves."""
    pull.bucket.put("d/x", b"1")
    pull.dest.mkdir()
    plant(pull.dest / "d")
    finished = pull.run()
    assert finished.code == (65 if plant is dangling else 73)
    assert "'d/x'" in finished.report["error"]["message"]


def test_a_directory_at_the_temporary_name_is_named(pull):
    """73, and it stays."""
    pull.bucket.put("x", b"1")
    temporary = temporary_of(f"{pull.dest}/x")
    os.makedirs(f"{temporary}/mine")
    finished = pull.run()
    assert (finished.code, f"{pull.dest}/x" in finished.report["error"]["message"]) == (73, True)
    assert os.path.isdir(f"{temporary}/mine")


def link_to_victim(path, victim):
    path.symlink_to(victim)


STATE_FILES = ("init.sqlite3", "init.sqlite3-journal", "init.lock", "brought.sqlite3", "plan.tmp")


@pytest.mark.parametrize("name", STATE_FILES)
@pytest.mark.parametrize(
    "plant", [link_to_victim, fifo, device, os.mkdir], ids=lambda one: one.__name__
)
def test_what_is_planted_among_the_notes_leads_nowhere(pull, outside, name, plant):
    """Everything comes, or it ends with 73 and one line; nothing outside is touched."""
    for number in range(30):
        pull.bucket.put(f"{number}", b"1")
    (pull.dest / ".lighterman").mkdir(parents=True)
    where = pull.dest / ".lighterman" / name
    if plant is link_to_victim:
        plant(where, outside / "victim")
    else:
        plant(where)
    for _ in range(2):
        finished = pull.run("--resume-outputs")
        assert finished.code == (73 if name == "init.lock" else 0), finished.stderr
        assert is_untouched(outside)
    assert len(pull.files()) == (0 if name == "init.lock" else 30)


@pytest.mark.parametrize("plant", [link_to_victim, fifo, device, dangling])
def test_the_state_directory_is_nobody_else_s(pull, proxy, outside, plant):
    """73, before anything is asked."""
    pull.bucket.put("x", b"1")
    pull.dest.mkdir()
    if plant is link_to_victim:
        plant(pull.dest / ".lighterman", outside)
    else:
        plant(pull.dest / ".lighterman")
    finished = pull.run()
    assert (finished.code, ".lighterman" in finished.report["error"]["message"]) == (73, True)
    assert proxy.seen() == []
    assert is_untouched(outside)


def test_a_listing_that_changes_between_its_pages(pull, proxy):
    """Each object comes as it is when it is read, or is named; none is mixed, none comes twice."""
    for number in range(1100):
        pull.bucket.put(f"k{number:04}", b"old")

    def change(_):
        pull.bucket.put("k0000", b"newer")
        pull.bucket.put("k1050", b"newer")
        pull.bucket.put("k0500-between", b"late")
        pull.bucket.delete("k1099")

    proxy.on(is_listing, CallAfter(change))
    finished = pull.run()
    files = pull.files()
    assert finished.code == 0
    assert (files["k0000"], files["k1050"]) == (b"newer", b"newer")
    assert "k1099" not in files
    assert len(files) - ("k0500-between" in files) == 1099


@pytest.mark.parametrize(
    "pages",
    [(["a", "b"], ["b", "c"]), (["b", "c"], ["a", "b"]), (["a", "c"], ["a", "b", "c"])],
    ids=["overlapping", "backwards", "again"],
)
def test_a_listing_that_repeats_itself(pull, proxy, pages):
    """A key that is listed twice is one file, in whatever order it comes."""
    for key in ("a", "b", "c"):
        pull.bucket.put(key, key.encode())
    answers = listed(*pages)
    for number, answer in enumerate(answers):
        proxy.on(
            lambda request, number=number: (
                is_listing(request)
                and request.query.get("continuation-token", "-1") == str(number - 1)
            ),
            answer,
            times=None,
        )
    finished = pull.run()
    assert finished.code == 0, finished.stderr
    assert pull.files() == {key: key.encode() for key in ("a", "b", "c")}


@pytest.mark.parametrize("style", ["json", "text"])
def test_logs_and_report_stay_printable_lines(pull, tmp_path, style):
    """Whatever a key holds: a terminal obeys nothing in it, and a line is one."""
    names = ["\x1b[31mred", "a\nforged line", "\x9b1m", "right\u202etfel", "no-utf-8-\udc80"]
    (tmp_path / "source").mkdir()
    for name in names:
        (tmp_path / "source" / name).write_bytes(b"1")
        (pull.dest / name).mkdir(parents=True)
    for _ in range(2):
        finished = pull.program.run(
            "init", f"file://{tmp_path}/source", pull.dest, "--log-format", style
        )
        assert all(line.isprintable() for line in finished.stderr.split("\n")), finished.stderr
        assert not [line for line in finished.stderr.split("\n") if line.startswith("forged")]
        report = (tmp_path / f"report-{pull.program._runs}.json").read_text()
        assert report.isprintable()
        if finished.code == 73:
            assert finished.report["failed"]["count"] == len(names)
            for name in names:
                (pull.dest / name).rmdir()
    assert (finished.code, finished.report["files"]) == (0, len(names))


def test_a_volume_that_is_mounted_inside_keeps_its_files(pull, mounted_in):
    """A mount below the destination is a directory like any other."""
    pull.bucket.put("mnt/x", b"1")
    pull.dest.mkdir()
    mounted_in(pull.dest / "mnt")
    assert pull.run().code == 0
    assert pull.files() == {"mnt/x": b"1"}


@pytest.fixture
def mounted_in():
    """Mounts a tmpfs at a place (as root, which CI is)."""
    places = []

    def mount(place):
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        places.append(place)

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)
