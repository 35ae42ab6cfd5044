"""
Main's end, as Kubernetes' API tells of it: what Polyaxon's sidecar goes by, with the service account that its runs
have (``get`` of ``pods``).
"""

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    LightermanError,
    TransientError,
)
from lighterman.secret import scrub_passing

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet mounts it, unless the pod says automountServiceAccountToken: false."""
_ANSWER_SECONDS: Final = 10.0
_LARGEST_BYTES: Final = 16 * 1024 * 1024
_OVER: Final = ("Succeeded", "Failed")


class Pod:
    """The pod that a container is in, asked of the API. The token is read for each question: it changes every hour."""

    def __init__(
        self,
        name: str,
        namespace: str,
        environ: Mapping[str, str],
        service_account: str = SERVICE_ACCOUNT,
    ) -> None:
        """``ConfigurationError`` where the container has no way to the API."""
        host = environ.get("KUBERNETES_SERVICE_HOST", "")
        port = environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not port.isdecimal():
            raise ConfigurationError(
                "$KUBERNETES_SERVICE_HOST isn't set: nothing tells main's end",
                hint="run this in a pod, as Polyaxon does",
            )
        self._account = Path(service_account)
        try:
            self._trusted = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
            namespace = namespace or (self._account / "namespace").read_text().strip()
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"no service account in {service_account}: nothing tells main's end",
                hint="let the pod have it mounted (automountServiceAccountToken)",
            ) from error
        self._address = host, int(port)
        self._name = name
        self._path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"

    def has_ended(self, container: str) -> bool:
        """
        Whether that container has ended for good. ``CredentialsError`` if the service account may not ask,
        ``TransientError`` if nobody answers.
        """
        return is_over(self._asked(), container)

    def _asked(self) -> Mapping[str, Any]:
        host, port = self._address
        connection = http.client.HTTPSConnection(
            host, port, timeout=_ANSWER_SECONDS, context=self._trusted
        )
        try:
            token = (self._account / "token").read_text().strip()
            scrub_passing(token)
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            connection.request("GET", self._path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(_LARGEST_BYTES)
            if answer.status != http.client.OK:
                raise self._refused(answer.status)
            document = json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransientError(
                f"Kubernetes' API doesn't tell of pod {self._name}: {type(error).__name__}",
                hint="look at the API server, and at what is between",
            ) from error
        finally:
            connection.close()
        return document if isinstance(document, dict) else {}

    def _refused(self, status: int) -> LightermanError:
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            return CredentialsError(
                f"the pod's service account may not read pod {self._name} ({status})",
                hint="let its role get pods in this namespace, as that of Polyaxon's chart does",
            )
        return TransientError(f"Kubernetes' API doesn't tell of pod {self._name} ({status})")


def is_over(pod: Mapping[str, Any], container: str) -> bool:
    """Whether that container of the pod has ended, and isn't started again. Pure."""
    status = pod.get("status") or {}
    if status.get("phase") in _OVER:
        return True
    for one in status.get("containerStatuses") or []:
        if one.get("name") == container:
            ended = (one.get("state") or {}).get("terminated")
            return ended is not None and not _is_restarted(pod, ended)
    return False


def _is_restarted(pod: Mapping[str, Any], ended: Mapping[str, Any]) -> bool:
    policy = (pod.get("spec") or {}).get("restartPolicy", "Always")
    return policy == "Always" or (policy == "OnFailure" and ended.get("exitCode") != os.EX_OK)
