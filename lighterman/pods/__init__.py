"""From a job spec to the manifest of a Kubernetes Job."""

from lighterman.pods.ends import Wishes
from lighterman.pods.manifest import Manifest, manifest_of
from lighterman.pods.written import written

__all__ = ["Manifest", "Wishes", "manifest_of", "written"]
