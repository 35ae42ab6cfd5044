#!/bin/sh
# The image's entry. The program replaces this shell, so that signals reach it as PID 1.
set -eu
exec python -m lighterman "$@"
