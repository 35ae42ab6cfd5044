"""Lighterman carries files between a pod and its buckets."""

from lighterman.errors import ExitCode, LightermanError

__version__ = "0.1.0"
__all__ = ["ExitCode", "LightermanError", "__version__"]
