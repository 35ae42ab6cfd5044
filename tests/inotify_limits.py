"""
The program as a user to whom the kernel gives no more of inotify. The limits are those of a user namespace
of its own: the machine's, under which other tests watch at the same time, stay as they are.
"""

import subprocess

_LOWERED = ("unshare", "--user", "--map-root-user", "sh", "-c")
_SCRIPT = 'echo 0 > "/proc/sys/user/max_inotify_$0" && exec "$@"'


def without(what):
    """What a command line begins with, for a program that gets no ``instances`` or no ``watches``."""
    return (*_LOWERED, _SCRIPT, what)


def may_be_lowered():
    """Whether this machine lets us: some forbid user namespaces."""
    command = [*without("watches"), "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def with_only(what, number):
    """As ``without``, for a program that gets ``number`` of them."""
    script = f'echo {number} > "/proc/sys/user/max_inotify_$0" && exec "$@"'
    return (*_LOWERED, script, what)
