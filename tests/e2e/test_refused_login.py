"""A server that checks signatures refuses a wrong login: the code, one clear line, and nothing half-done."""

import pytest

COMMANDS = {
    "init": ("init", "--connection", "bucket", "--to", "inputs"),
    "sync": ("sync", "--connection", "bucket", "--path", "outputs", "--to", "out"),
}


@pytest.mark.ceph
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        ({"secret_access_key": "another-secret-of-someone"}, 77, "AWS_SECRET_ACCESS_KEY"),
        ({"access_key_id": "nobody-has-this-key"}, 77, "AWS_ACCESS_KEY_ID"),
        ({"name": "no-such-bucket-anywhere"}, 78, "bucket"),
    ],
    ids=["wrong secret", "wrong key", "wrong bucket"],
)
def test_a_wrong_login_or_bucket(rgw_bucket, program_over, tmp_path, command, change, code, hint):
    """77 credentials refused, 78 configuration; nothing is placed and nothing is sent."""
    rgw_bucket.put("present", b"content")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "result").write_bytes(b"result")

    ended = program_over(rgw_bucket._replace(**change)).run(*COMMANDS[command])

    assert ended.code == ended.report["error"]["code"] == code
    assert hint in ended.report["error"]["hint"]
    assert [event["event"] for event in ended.events if event["level"] == "error"] == [
        f"{command}.failed"
    ]
    assert not (tmp_path / "inputs" / "present").exists()
    assert rgw_bucket.keys() == ["present"]
