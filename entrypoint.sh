#!/bin/sh
# The image's entry. The program replaces this shell, so that signals reach it as PID 1.
set -eu

# Two arenas for all threads: what one frees, another uses. 12 MiB less at the peak of 700 MiB coming in
# and of 3,000 files going out, in the same time. Not in `run`, whose command would inherit it.
if [ "${1-}" != run ]; then
    export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-2}"
fi

exec python -m lighterman "$@"
