"""What the tests themselves ask of Azurite: SAS tokens, public containers, blocks that no blob has yet."""

import uuid
from base64 import b64encode

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient


def opened(container, credential: str | None) -> ContainerClient:
    """The container as somebody sees it who has only this."""
    return ContainerClient(container.endpoint, container.name, credential, retry_total=0)


def test_a_sas_opens_what_it_names(azure_container):
    """A SAS token gives its permissions, and no other."""
    azure_container.put("a", b"x")
    with opened(azure_container, azure_container.sas("rl")) as client:
        assert ["a"] == [blob.name for blob in client.list_blobs()]
        with pytest.raises(HttpResponseError):
            client.upload_blob("b", b"x")
    assert ["a"] == azure_container.keys()


def test_a_sas_that_has_run_out(azure_container):
    """A SAS token of the past is refused."""
    with (
        opened(azure_container, azure_container.sas(hours=-1)) as client,
        pytest.raises(HttpResponseError) as refused,
    ):
        list(client.list_blobs())
    assert 403 == refused.value.status_code


def test_a_public_container_needs_no_login(azure_container):
    """Nobody in particular may list and read a public container; any other is refused."""
    azure_container.put("a", b"x")
    with opened(azure_container, None) as client:
        with pytest.raises(HttpResponseError):
            list(client.list_blobs())
        azure_container.make_public()
        assert ["a"] == [blob.name for blob in client.list_blobs()]


def test_open_uploads_are_blocks_without_a_blob(azure_container):
    """A key with staged blocks and no blob is an open upload, until its blocks are committed."""
    azure_container.put("whole", b"x")
    block = b64encode(uuid.uuid4().bytes).decode()
    with azure_container.client() as client:
        blob = client.get_blob_client("open")
        blob.stage_block(block, b"part")
        assert ["open"] == azure_container.open_uploads()
        blob.commit_block_list([block])
    assert [] == azure_container.open_uploads()
    assert b"part" == azure_container.get("open")
