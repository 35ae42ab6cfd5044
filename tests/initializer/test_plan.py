"""The plan: from what is wanted and what is on disk to what is to be done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initializer.plan import (
    Fetch,
    Found,
    Keep,
    MakeDirectory,
    OnDisk,
    Placed,
    Refuse,
    Stream,
    Wanted,
    merged,
    plan,
    wanted,
)
from lighterman.errors import CannotWriteError, SourceMissingError, UntrustedDataError
from lighterman.stores.contract import Listed

ROOT = "/data"


class Tree:
    """A disk as a table: directories, files with what is noted of them, and odd things."""

    def __init__(self, directories=(), files=None, odd=None):
        self.directories = set(directories)
        self.files = dict(files or {})
        self.odd = dict(odd or {})
        self.notes = {}

    def directory(self, root, path):
        if path in self.odd:
            return self.odd[path]
        if path.rstrip("/") in self.files:
            return Found.OTHER
        return Found.DIRECTORY if path in self.directories else Found.ABSENT

    def file(self, path):
        if f"{path}/" in self.directories:
            return OnDisk(is_file=False, is_directory=True, size_bytes=0, mtime_ns=0)
        return self.files.get(path)

    def placed(self, root, path):
        return self.notes.get(path)

    def carry_out(self, actions):
        """As the executor does it."""
        for action in actions:
            match action:
                case MakeDirectory(path):
                    assert path not in self.directories
                    assert f"{path.rstrip('/').rpartition('/')[0]}/" in self.directories
                    self.directories.add(path)
                case Fetch(path):
                    assert f"{path.rpartition('/')[0]}/" in self.directories
                    self.files[path] = OnDisk(True, False, action.size_bytes, 7)
                    self.notes[path] = Placed(action.size_bytes, action.etag, 7)


def listed(key, size_bytes=None, etag="e", *, archived=False):
    if size_bytes is None:
        size_bytes = 0 if key.endswith("/") else 1
    return Listed(key, size_bytes, etag, 5.0, archived)


def listing(*keys, prefix="", base=f"{ROOT}/", store=0):
    return wanted([[listed(key) for key in sorted(keys)]], prefix, base, 0, store)


def planned(items, disk=None, roots=(ROOT,)):
    return list(plan(items, roots, disk or Tree({f"{root}/" for root in roots})))


def fetch(path, key, store=0):
    return Fetch(path, 0, store, key, 1, "e", 5.0)


def test_files_come_with_the_directories_they_need():
    """Each directory is made once, before what it holds."""
    assert planned(listing("a/b/x", "a/b/y", "a/c", "z")) == [
        MakeDirectory("/data/a/"),
        MakeDirectory("/data/a/b/"),
        fetch("/data/a/b/x", "a/b/x"),
        fetch("/data/a/b/y", "a/b/y"),
        fetch("/data/a/c", "a/c"),
        fetch("/data/z", "z"),
    ]


def test_a_declared_dir_goes_to_its_target():
    """The prefix is replaced by the target, whatever it is called."""
    items = listing("p/train/a", "p/train/b/c", prefix="p/train/", base="/data/validation/")
    assert planned(items) == [
        MakeDirectory("/data/validation/"),
        fetch("/data/validation/a", "p/train/a"),
        MakeDirectory("/data/validation/b/"),
        fetch("/data/validation/b/c", "p/train/b/c"),
    ]


def test_markers_are_empty_directories():
    """`dir/` markers are empty directories; one of the prefix itself is the target."""
    items = listing("p/", "p/empty/", "p/full/", "p/full/x", prefix="p/")
    assert planned(items) == [
        Keep("/data/", "p/"),
        MakeDirectory("/data/empty/"),
        MakeDirectory("/data/full/"),
        fetch("/data/full/x", "p/full/x"),
    ]


def test_an_object_as_it_is_and_as_what_it_holds_is_declared_twice():
    """Neither wins silently; declared twice in one way it is one."""
    once = Wanted("/data/x.tar", 0, 0, listed("x.tar"))
    unpacked = once._replace(form="tar")
    [planned_once] = planned([unpacked, unpacked])
    assert (planned_once.path, planned_once.form) == ("/data/x.tar", "tar")
    assert [type(action) for action in planned([once, unpacked])] == [Fetch, Refuse]


def test_a_marker_with_content_is_refused():
    """Nowhere could its bytes be placed, and they aren't dropped in silence; nor those of the prefix's own."""
    for key, prefix in (("full/", ""), ("p/", "p/")):
        [refused] = planned(wanted([[listed(key, 18)]], prefix, f"{ROOT}/", 0, 0))
        assert (Refuse, key, UntrustedDataError) == (type(refused), refused.key, refused.error)
        assert "18 bytes" in refused.reason


def test_what_is_whole_is_kept():
    """A file whose note, size and time agree with the listing isn't fetched again."""
    disk = Tree({"/data/", "/data/d/"})
    disk.files["/data/d/x"] = OnDisk(True, False, 1, 99)
    disk.notes["/data/d/x"] = Placed(1, "e", 99)
    assert planned(listing("d/", "d/x"), disk) == [Keep("/data/d/", "d/"), Keep("/data/d/x", "d/x")]


@pytest.mark.parametrize(
    ("on_disk", "note"),
    [
        (OnDisk(True, False, 1, 99), None),
        (OnDisk(True, False, 1, 99), Placed(1, "older", 99)),
        (OnDisk(True, False, 1, 98), Placed(1, "e", 99)),
        (OnDisk(True, False, 2, 99), Placed(1, "e", 99)),
        (OnDisk(True, False, 2, 99), Placed(2, "e", 99)),
        (OnDisk(False, False, 1, 99), Placed(1, "e", 99)),
        (None, Placed(1, "e", 99)),
    ],
)
def test_what_may_differ_is_fetched_again(on_disk, note):
    """Whatever was changed on either side, or is a symlink, or gone, comes anew."""
    disk = Tree({"/data/"}, {"/data/x": on_disk} if on_disk else {})
    disk.notes["/data/x"] = note
    assert planned(listing("x"), disk) == [fetch("/data/x", "x")]


OURS = Placed(5, "etag", 7)


@pytest.mark.parametrize(
    ("on_disk", "note", "etag", "is_kept"),
    [
        (OnDisk(is_file=True, is_directory=False, size_bytes=5, mtime_ns=7), None, "etag", True),
        (OnDisk(is_file=True, is_directory=False, size_bytes=5, mtime_ns=8), OURS, "etag", True),
        (OnDisk(is_file=True, is_directory=False, size_bytes=6, mtime_ns=7), OURS, "newer", True),
        (OnDisk(is_file=False, is_directory=False, size_bytes=5, mtime_ns=7), None, "etag", True),
        (OnDisk(is_file=True, is_directory=False, size_bytes=5, mtime_ns=7), OURS, "newer", False),
        (None, OURS, "etag", False),
    ],
    ids=["main's", "edited", "edited on both sides", "a link", "newer in the bucket", "lost"],
)
def test_in_an_outputs_path_what_main_wrote_stays(on_disk, note, etag, is_kept):
    """It is younger than its object; what init placed and nobody touched follows the bucket."""
    tree = Tree({"/data/"}, {"/data/x": on_disk} if on_disk else {})
    tree.notes["/data/x"] = note
    item = Wanted("/data/x", 0, 0, Listed("x", 5, etag, 1.0))
    [action] = plan([item], [ROOT], tree, frozenset({0}))
    assert isinstance(action, Keep if is_kept else Fetch)
    [action] = plan([item], [ROOT], tree)
    assert isinstance(action, Fetch)


@pytest.mark.parametrize(
    ("items", "refused"),
    [
        (listing("a/../b"), Refuse("a/../b", "it has a '..' component", UntrustedDataError)),
        (listing("/abs"), Refuse("/abs", "it is absolute", UntrustedDataError)),
        (
            listing(".lighterman/x"),
            Refuse(
                ".lighterman/x",
                "the name .lighterman is reserved at a destination's root",
                UntrustedDataError,
            ),
        ),
        (
            listing("a", "a-x", "a/b"),
            Refuse("a/b", "its directory is where the file of 'a' goes", UntrustedDataError),
        ),
        (
            merged(
                [
                    Stream("/data/", lambda: listing("p/x", prefix="p/")),
                    Stream("/data/", lambda: listing("q/x", prefix="q/")),
                ]
            ),
            Refuse("q/x", "'p/x' goes to the same place", UntrustedDataError),
        ),
        (
            [Wanted("/data/x", 0, 0, listed("x", archived=True))],
            Refuse("x", "it is archived and must be restored first", SourceMissingError),
        ),
    ],
)
def test_refusals(items, refused):
    """What can't be placed is refused by name, with the reason and the exit code's error."""
    assert refused in planned(items)


@pytest.mark.parametrize(
    ("odd", "reason", "error"),
    [
        (Found.LEAVES, "/data/d is a symlink that leaves the destination", UntrustedDataError),
        (Found.OTHER, "/data/d is there and no directory", CannotWriteError),
    ],
)
def test_what_is_in_the_way_on_disk_refuses_all_below_it(odd, reason, error):
    """A key that would go through a symlink that leaves the destination is refused."""
    disk = Tree({"/data/"}, odd={"/data/d/": odd})
    assert planned(listing("d/e/x", "d/y", "z"), disk) == [
        Refuse("d/e/x", reason, error),
        Refuse("d/y", reason, error),
        fetch("/data/z", "z"),
    ]


def test_a_directory_where_a_file_goes_is_refused():
    """Nothing that is there is taken away."""
    disk = Tree({"/data/", "/data/x/"})
    assert planned(listing("x"), disk) == [
        Refuse("x", "/data/x is there and a directory", CannotWriteError)
    ]


def test_one_object_declared_twice_comes_once():
    """A file inside a declared directory may be declared too."""
    items = merged(
        [
            Stream("/data/d/", lambda: listing("d/x", "d/y", prefix="d/", base="/data/d/")),
            Stream("/data/d/y", lambda: iter([Wanted("/data/d/y", 0, 0, listed("d/y"))])),
        ]
    )
    assert planned(items) == [
        MakeDirectory("/data/d/"),
        fetch("/data/d/x", "d/x"),
        fetch("/data/d/y", "d/y"),
    ]


def test_a_destination_inside_another_is_part_of_one_plan():
    """Clashes are found across destinations too."""
    items = merged(
        [
            Stream("/data/", lambda: listing("sub", "z")),
            Stream("/data/sub/", lambda: wanted([[listed("x")]], "", "/data/sub/", 1, 1)),
        ]
    )
    assert planned(items, roots=("/data", "/data/sub")) == [
        Refuse("sub", "/data/sub is there and a directory", CannotWriteError),
        Refuse("x", "its directory is where the file of 'sub' goes", UntrustedDataError),
        fetch("/data/z", "z"),
    ]


def test_streams_are_begun_when_their_turn_comes():
    """Declared dirs that don't overlap are never open at once."""
    begun = []

    def stream(name):
        def items():
            begun.append(name)
            yield from listing(f"{name}/x", prefix=f"{name}/", base=f"/data/{name}/")

        return Stream(f"/data/{name}/", items)

    items = merged([stream("b"), stream("a-x"), stream("a")])
    assert [next(items).path, begun] == ["/data/a-x/x", ["a-x"]]
    assert [item.path for item in items] == ["/data/a/x", "/data/b/x"]
    assert begun == ["a-x", "a", "b"]


names = st.sampled_from(
    ["a", "b", "a-x", "a.y", "ab", "..", ".", "", "é", ".lighterman", "x" * 256]
)
keys = st.builds(
    str.__add__, st.lists(names, min_size=1, max_size=4).map("/".join), st.sampled_from(["", "/"])
).filter(bool)
targets = st.sampled_from(["/data/", "/data/a/", "/data/a-x/", "/data/b/c/"])
declared = st.lists(st.tuples(targets, st.sets(keys, max_size=10)), min_size=1, max_size=4)


def streams(declared):
    return [
        Stream(
            base,
            lambda number=number, base=base, found=found: wanted(
                [[listed(key) for key in sorted(found)]], "", base, 0, number
            ),
        )
        for number, (base, found) in enumerate(declared)
    ]


@given(declared)
def test_merged_streams_are_in_order_and_whole(declared):
    """Every item of every stream, in the order of the paths."""
    items = list(merged(streams(declared)))
    paths = [item.path for item in items]
    assert paths == sorted(paths)
    assert sorted((item.store, item.listed.key) for item in items) == sorted(
        (number, key) for number, (_, found) in enumerate(declared) for key in found
    )


@given(declared)
def test_nothing_outside_the_destination_is_planned(declared):
    """No action has a path with an odd component, or outside the root."""
    for action in planned(merged(streams(declared))):
        if not isinstance(action, Refuse):
            assert action.path.startswith("/data/")
            components = action.path[len("/data/") :].removesuffix("/").split("/")
            if action.path != "/data/":
                assert not {"", ".", ".."} & set(components)
            assert components[0] != ".lighterman"
            assert all(len(component.encode()) <= 255 for component in components)


@given(declared)
def test_every_listed_key_is_accounted_for_once(declared):
    """Fetched, kept, made as a directory or refused: none is lost, none comes twice."""
    items = list(merged(streams(declared)))
    actions = planned(iter(items))
    directories = {item.path for item in items if item.path.endswith("/")}
    refused = [(action.key) for action in actions if isinstance(action, Refuse)]
    fetched = [(action.store, action.key) for action in actions if isinstance(action, Fetch)]
    kept = [action.path for action in actions if isinstance(action, Keep)]
    made = {action.path for action in actions if isinstance(action, MakeDirectory)}
    assert len(set(fetched)) == len(fetched)
    assert len(made) == sum(isinstance(action, MakeDirectory) for action in actions)
    files = sum(1 for item in items if not item.path.endswith("/"))
    refused_files = sum(1 for key in refused if not key.endswith("/"))
    assert len(fetched) + refused_files == files
    assert set(kept) <= directories
    for item in items:
        if item.path.endswith("/") and item.listed.key not in refused:
            assert item.path in made | set(kept)


@given(declared)
def test_a_second_plan_after_the_first_is_empty(declared):
    """What a plan brought is kept by the next one."""
    disk = Tree({"/data/"})
    disk.carry_out(planned(merged(streams(declared)), disk))
    again = planned(merged(streams(declared)), disk)
    assert [action for action in again if isinstance(action, (Fetch, MakeDirectory))] == []
