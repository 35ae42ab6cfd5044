"""That every reader of YAML reads of a manifest what was meant."""

import re

import pytest
import yaml
from rendering import CONNECTIONS, MAIN

from lighterman.pods.written import text_of


@pytest.mark.parametrize(
    "text",
    [
        *("y", "N", "yes", "off", "null", "~", "2026-11-27", "1:30"),
        *("1e3", "12E5", "1.5e3", ".5", "08", "0o17", "0x1F", "0X1f", "0B1", "1_000", "+7"),
    ],
)
def test_text_that_looks_like_something_else_is_quoted(text):
    """What YAML 1.1, YAML 1.2 or Go's reader would take for a number, a truth or a date stays text: a commit's `12e5`."""
    assert f"member: '{text}'\n" == text_of({"member": text})


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85\nb", "\x85", "\u2029"])
def test_line_breaks_of_one_yaml_alone_are_escaped(text):
    """They break lines in YAML 1.1 and don't in YAML 1.2."""
    written = text_of({"member": text})
    assert text == yaml.safe_load(written)["member"]
    assert 1 == len(written.splitlines())


def test_a_manifest_keeps_mains_odd_texts(render):
    """Whatever the text, main gets it as it was written."""
    odd = ["1e3", "y", "a: b", "# no comment", " led", "trailed ", "two\nlines\n", "\ttab", "é😀"]
    rendered = render(main={"command": MAIN["command"], "args": odd})
    assert odd == rendered.containers["main"]["args"]


def test_a_mode_is_the_same_number_in_every_yaml(render):
    """In decimal, as `kubectl get -o yaml` shows it: 0400 would be four hundred in YAML 1.2."""
    secret = {"name": "keys", "mountPath": "/etc/k", "defaultMode": 0o440}
    rendered = render(catalog=[{**CONNECTIONS[0], "secret": secret}, CONNECTIONS[1]])
    assert "defaultMode: 288\n" in rendered.text
    assert "defaultMode: 256\n" in rendered.text
    assert not re.search(r": 0\d", rendered.text)
