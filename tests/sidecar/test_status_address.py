"""Where to listen."""

import socket

import pytest

from lighterman.errors import ConfigurationError
from sidecar.status.address import Address, address, listening


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        (" my-pod.svc:80 ", ("my-pod.svc", 80)),
    ],
)
def test_host_and_port(text, expected):
    """``HOST:PORT``, an IPv6 address in brackets."""
    assert Address(*expected) == address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9464",
        ":9464",
        "host",
        "host:",
        "host:99999",
        "::1:80",
        "http://host:80",
        "a b:80",
        "h:-1",
    ],
)
def test_what_is_no_address_is_said_with_one_that_is(text):
    """A usage error shows how it is written."""
    with pytest.raises(ValueError, match=r"write one like 0\.0\.0\.0:9464"):
        address(text)


def test_a_port_that_is_taken_is_configuration():
    """78, with the port and a mend."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}") as caught:
            listening(Address("127.0.0.1", port))
    assert "choose another port" in caught.value.hint


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "203.0.113.77"])
def test_a_host_that_is_not_here_is_configuration(host):
    """78, with the address that would do."""
    with pytest.raises(ConfigurationError) as caught:
        listening(Address(host, 0))
    assert "0.0.0.0" in caught.value.hint


def test_a_port_is_free_again_right_after_its_listener(tmp_path):
    """A container that is restarted takes it at once, whatever its predecessor's clients left."""
    with listening(Address("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()
    listening(Address("127.0.0.1", port)).close()
