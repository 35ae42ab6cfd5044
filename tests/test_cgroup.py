"""The container's memory limit is found, in both versions of cgroups."""

import pytest

from lighterman.cgroup import memory_limit_bytes, memory_used_bytes


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "134217728\n"}, 134217728),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/pod/main\n",
                "sys/fs/cgroup/pod/memory.max": "1000\n",
                "sys/fs/cgroup/pod/main/memory.max": "max\n",
            },
            1000,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/a\n4:memory:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2000\n",
            },
            2000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/not/visible/here\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n",
            },
            3000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
        ),
        ({}, None),
    ],
)
def test_the_limit(tmp_path, files, limit):
    """The tightest on the way up; none where there is none."""
    assert memory_limit_bytes(tree(tmp_path, files)) == limit


def test_what_is_used(tmp_path):
    """Its tmpfs files included: that is what the limit counts."""
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.current": "77\n"}
    assert memory_used_bytes(tree(tmp_path, files)) == 77
    assert memory_used_bytes(tmp_path / "nowhere") is None
