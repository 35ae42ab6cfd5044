"""What one manifest holds, and what a pod of it is called."""

import uuid
from typing import Any

from kubelet_documents import Job, ManifestError, PodSpec, read


class Manifest:
    """What a manifest holds: a Pod or a Job, and the ConfigMaps and Secrets that it mounts."""

    def __init__(self, documents: str | list[dict[str, Any]]) -> None:
        found = read(documents)
        workloads = [one for one in found if one.kind in ("Pod", "Job")]
        if len(workloads) != 1:
            raise ManifestError(f"{len(workloads)} pods and jobs; this harness plays one")
        self.workload = workloads[0]
        self.config_maps = {one.metadata.name: one for one in found if one.kind == "ConfigMap"}
        self.secrets = {one.metadata.name: one for one in found if one.kind == "Secret"}

    @property
    def pod(self) -> PodSpec:
        own = self.workload.spec
        if not isinstance(self.workload, Job):
            return own
        if own.template.spec.restart_policy == "Always":
            raise ManifestError("a Job's pods have the restartPolicy OnFailure or Never")
        return own.template.spec

    def fields(self, index: int | None) -> dict[str, str]:
        """
        What ``fieldRef`` can ask for. A Job's pod is called as its controller calls it, and knows its index
        by an annotation and a label (https://kubernetes.io/docs/concepts/workloads/controllers/job/).
        """
        metadata = self.workload.metadata
        name, labels, annotations = metadata.name, dict(metadata.labels), metadata.annotations
        if isinstance(self.workload, Job):
            template = self.workload.spec.template.metadata
            name = f"{metadata.name}-{uuid.uuid4().hex[:5]}"
            labels, annotations = dict(template.labels), dict(template.annotations)
            labels["batch.kubernetes.io/job-name"] = str(metadata.name)
            if index is not None:
                name = f"{metadata.name}-{index}-{uuid.uuid4().hex[:5]}"
                labels["batch.kubernetes.io/job-completion-index"] = str(index)
                annotations["batch.kubernetes.io/job-completion-index"] = str(index)
        return {
            "metadata.name": str(name),
            "metadata.namespace": metadata.namespace,
            "metadata.uid": str(uuid.uuid4()),
            **{f"metadata.labels['{key}']": value for key, value in labels.items()},
            **{f"metadata.annotations['{key}']": value for key, value in annotations.items()},
        }

    @property
    def is_indexed(self) -> bool:
        return isinstance(self.workload, Job) and self.workload.spec.completion_mode == "Indexed"
