"""Of which files the kernel may be asked who has them open."""

import os

import pytest

from sidecar.leases import Leases


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ext4", True), ("overlay", True), ("nfs4", False), ("fuse.gcsfuse", False), ("ceph", False)],
)
def test_leases_are_not_believed_on_network_filesystems(tmp_path, kind, expected):
    """They know nothing of writers on other machines, and NFS 4 refuses them for every file."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / {tmp_path} rw - {kind} none rw\n")
    leases = Leases(os.path.realpath(tmp_path), str(mounts))
    assert (expected, expected) == (leases.are_believed, leases.may_ask_of(os.geteuid()))


def test_whose_file_it_is_not_may_not_ask_without_the_capability(tmp_path, monkeypatch):
    """F_SETLEASE needs the file's uid or CAP_LEASE."""
    monkeypatch.setattr("sidecar.leases._has_capability", lambda _number: False)
    leases = Leases(str(tmp_path))
    assert (leases.may_ask_of(os.geteuid()), leases.may_ask_of(os.geteuid() + 1)) == (True, False)
