"""What each step takes of a login, by the names under which the clouds grant it."""

from typing import Final

from lighterman.connections.model import Kind

_NEEDED: Final[dict[Kind, dict[str, str]]] = {
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
    "s3": {
        "list": "s3:ListBucket on the bucket",
        "read": "s3:GetObject on its objects",
        "write": "s3:PutObject on its objects",
        "read back": "s3:GetObject on its objects",
        "conditions": "s3:PutObject on its objects",
        "multipart": "s3:PutObject and s3:AbortMultipartUpload on its objects",
        "uploads": "s3:ListBucketMultipartUploads on the bucket",
        "delete": "s3:DeleteObject on its objects",
    },
    # https://cloud.google.com/storage/docs/access-control/iam-roles
    "gcs": {
        "list": "storage.objects.list (roles/storage.objectViewer)",
        "read": "storage.objects.get (roles/storage.objectViewer)",
        "write": "storage.objects.create and, to replace objects, storage.objects.delete "
        "(roles/storage.objectUser)",
        "read back": "storage.objects.get (roles/storage.objectViewer)",
        "conditions": "storage.objects.create and, to replace objects, storage.objects.delete "
        "(roles/storage.objectUser)",
        "multipart": "storage.objects.create (roles/storage.objectUser)",
        "delete": "storage.objects.delete (roles/storage.objectUser)",
    },
    # https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage
    "wasb": {
        "list": "Storage Blob Data Reader, or l in a SAS token's sp",
        "read": "Storage Blob Data Reader, or r in a SAS token's sp",
        "write": "Storage Blob Data Contributor, or c and w in a SAS token's sp",
        "conditions": "Storage Blob Data Contributor, or c and w in a SAS token's sp",
        "read back": "Storage Blob Data Reader, or r in a SAS token's sp",
        # r: the blocks that wait are asked for, https://learn.microsoft.com/rest/api/storageservices/get-block-list
        "multipart": "Storage Blob Data Contributor, or r, c and w in a SAS token's sp",
        "uploads": "Storage Blob Data Reader, or r and l in a SAS token's sp",
        "delete": "Storage Blob Data Contributor, or d in a SAS token's sp (r, too, to drop an upload)",
    },
}


def needed(kind: Kind, check: str) -> str:
    """What a check of this name takes, as the end of a hint; ``""`` where there is nothing to name."""
    permission = _NEEDED.get(kind, {}).get(check)
    return f"{check} takes {permission}" if permission else ""
