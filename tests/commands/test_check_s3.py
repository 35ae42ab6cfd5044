"""`lighterman check` of S3: what holds, what doesn't, what it says then, and that it leaves nothing behind."""

import json
import signal

import msgspec
import pytest
from servers.faults import Answer, Delay, Stall
from told import entry_of, findings, states

from lighterman.cli import _parse

REFUSED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
HOLDS = {
    "resolve": "ok",
    "credentials": "ok",
    "list": "ok",
    "write": "ok",
    "read back": "ok",
    "conditions": "ok",
    "multipart": "ok",
    "uploads": "ok",
    "lifecycle": "warning",
    "delete": "ok",
}


@pytest.fixture
def spoiled(bucket, proxy_to):
    """A proxy to the bucket, and the bucket through it."""
    proxy = proxy_to(bucket.endpoint)
    return proxy, bucket._replace(endpoint=proxy.url)


def test_reading_takes_no_write(spoiled, bucket, program_with):
    """A named connection is resolved, logged in to, listed and read from; nothing is written."""
    proxy, place = spoiled
    bucket.put("deep/object", b"content")
    finished = program_with(entry_of(place), hidden=[bucket.secret_access_key]).run(
        "check", "bucket"
    )
    assert 0 == finished.code
    assert dict.fromkeys(("resolve", "credentials", "list", "read"), "ok") == states(finished)
    assert "done" == finished.report["status"]
    assert {"GET"} == {request.method for request in proxy.seen()}
    assert ["bytes=0-0"] == [
        request.headers["range"]
        for request in proxy.seen(lambda request: "range" in request.headers)
    ]


def test_outputs_are_written_made_of_parts_and_deleted(spoiled, bucket, program_with):
    """Where outputs go it writes, completes a multipart upload, and deletes its probes."""
    proxy, place = spoiled
    finished = program_with(entry_of(place, prefix="outputs")).run(
        "check", "bucket", "--write", "--to", "runs/1"
    )
    assert 0 == finished.code, finished.stdout
    assert HOLDS == states(finished)
    assert [] == bucket.keys()
    assert [] == bucket.open_uploads()
    completed = proxy.seen(lambda r: r.method == "POST" and "uploadId" in r.query)
    assert 1 == len(completed)
    assert f"/{bucket.name}/outputs/runs/1/.lighterman-check-" in completed[0].path


@pytest.mark.ceph
def test_a_real_gateway_holds(rgw_bucket, program_with):
    """Ceph RGW, whose signatures, conditions and lifecycles are real."""
    finished = program_with(entry_of(rgw_bucket), hidden=[rgw_bucket.secret_access_key]).run(
        "check", "bucket", "--write"
    )
    assert 0 == finished.code, finished.stdout
    assert HOLDS == states(finished)
    assert [] == rgw_bucket.keys()
    assert [] == rgw_bucket.open_uploads()


@pytest.mark.ceph
@pytest.mark.parametrize(
    ("change", "code", "mend"),
    [
        ({"secret_access_key": "another-secret-of-someone"}, 77, "AWS_SECRET_ACCESS_KEY"),
        ({"access_key_id": "nobody-has-this-key"}, 77, "AWS_ACCESS_KEY_ID"),
        ({"name": "no-such-bucket-anywhere"}, 78, "create the bucket"),
    ],
)
def test_a_wrong_login_or_bucket(rgw_bucket, program_with, change, code, mend):
    """77 and 78, with the mend, from a server that checks signatures; nothing else is tried."""
    finished = program_with(entry_of(rgw_bucket._replace(**change))).run(
        "check", "bucket", "--write"
    )
    assert code == finished.code
    assert {"resolve": "ok", "credentials": "ok", "list": "failed"} == states(finished)
    assert mend in findings(finished)["bucket", "list"]["hint"]
    assert mend in finished.report["error"]["hint"]


@pytest.mark.ceph
@pytest.mark.parametrize(
    ("action", "check"),
    [("s3:PutObject", "write"), ("s3:DeleteObject", "delete"), ("s3:ListBucket", "list")],
)
def test_a_policy_that_denies(rgw_bucket, program_with, action, check):
    """A bucket's policy takes one permission away: 77, and the permission is named."""
    client = rgw_bucket.client()
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": [f"arn:aws:s3:::{rgw_bucket.name}", f"arn:aws:s3:::{rgw_bucket.name}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client.put_bucket_policy(Bucket=rgw_bucket.name, Policy=json.dumps(policy))
    finished = program_with(entry_of(rgw_bucket)).run("check", "bucket", "--write")
    client.delete_bucket_policy(Bucket=rgw_bucket.name)
    client.close()
    assert 77 == finished.code
    assert "failed" == states(finished)[check]
    assert action in findings(finished)["bucket", check]["hint"]
    left = rgw_bucket.keys()
    if check == "delete":
        assert 2 == len(left)
        assert all(key in finished.report["error"]["hint"] for key in left)
    else:
        assert [] == left


def _is_put(request):
    return request.method == "PUT" and "partNumber" not in request.query


@pytest.mark.parametrize(
    ("matches", "check", "permission"),
    [
        (lambda r: r.query.get("list-type") == "2", "list", "s3:ListBucket on the bucket"),
        (_is_put, "write", "s3:PutObject"),
        (lambda r: "uploads" in r.query and r.method == "POST", "multipart", "s3:PutObject"),
        (lambda r: "partNumber" in r.query, "multipart", "s3:AbortMultipartUpload"),
        (lambda r: r.method == "DELETE", "delete", "s3:DeleteObject"),
    ],
    ids=["list", "write", "begin", "part", "delete"],
)
def test_each_missing_permission_is_named(
    spoiled, bucket, program_with, matches, check, permission
):
    """Each failure names the missing permission and its mend, and ends with 77."""
    proxy, place = spoiled
    proxy.on(matches, Answer(403, REFUSED), times=None)
    finished = program_with(entry_of(place)).run("check", "bucket", "--write")
    assert 77 == finished.code
    line = findings(finished)["bucket", check]
    assert ("failed", 77, "credentials") == (line["state"], line["code"], line["kind"])
    assert permission in line["hint"]
    assert {"command": "check", "status": "failed"}.items() <= finished.report.items()
    assert f"bucket: {check}" == finished.report["failed"]["first"][0]["key"]
    assert [] == bucket.open_uploads()
    if check == "delete":
        left = bucket.keys()
        assert 2 == len(left)
        assert all(key in line["hint"] for key in left)
    else:
        assert [] == bucket.keys()


@pytest.mark.parametrize(
    ("matches", "check"),
    [
        (lambda r: r.method == "GET" and ".lighterman-check-" in r.path, "read back"),
        (lambda r: r.method == "GET" and "uploads" in r.query, "uploads"),
    ],
)
def test_what_a_job_would_do_without_is_a_warning(spoiled, program_with, matches, check):
    """A login that only writes brings outputs in: said, and no failure."""
    proxy, place = spoiled
    proxy.on(matches, Answer(403, REFUSED), times=None)
    finished = program_with(entry_of(place)).run("check", "bucket", "--write")
    assert 0 == finished.code
    assert HOLDS | {check: "warning"} == states(finished)
    assert "s3:" in findings(finished)["bucket", check]["hint"]


RULE = {
    "ID": "abort",
    "Status": "Enabled",
    "Filter": {"Prefix": "out"},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
}


@pytest.mark.parametrize(
    ("rule", "prefix", "state", "said"),
    [
        (None, "", "warning", "has no rule"),
        (RULE, "outputs", "ok", "after 3 days"),
        (RULE, "", "warning", "no rule"),
        (RULE | {"Filter": {"Prefix": ""}}, "", "ok", "after 3 days"),
        (RULE | {"Status": "Disabled"}, "outputs", "warning", "no rule"),
    ],
)
def test_the_rule_that_aborts_old_uploads(bucket, program_with, rule, prefix, state, said):
    """`check` warns where the bucket has no rule that aborts old ones."""
    if rule:
        client = bucket.client()
        client.put_bucket_lifecycle_configuration(
            Bucket=bucket.name, LifecycleConfiguration={"Rules": [rule]}
        )
        client.close()
    finished = program_with(entry_of(bucket, prefix=prefix)).run("check", "bucket", "--write")
    line = findings(finished)["bucket", "lifecycle"]
    assert (0, state) == (finished.code, line["state"])
    assert said in line["said"]
    assert ("AbortIncompleteMultipartUpload" in line.get("hint", "")) == (state == "warning")


@pytest.mark.parametrize("status", [403, 501])
def test_a_rule_that_may_not_be_seen_is_unknown(spoiled, program_with, status):
    """No failure, and no warning either: nobody knows."""
    proxy, place = spoiled
    proxy.on(lambda r: "lifecycle" in r.query, Answer(status, REFUSED if status == 403 else b""))
    finished = program_with(entry_of(place)).run("check", "bucket", "--write")
    assert (0, "skipped") == (finished.code, states(finished)["lifecycle"])
    assert "unknown" in findings(finished)["bucket", "lifecycle"]["said"]


def test_a_store_without_conditions_is_noted(spoiled, bucket, program_with):
    """Only `--on-conflict fail` needs them."""
    proxy, place = spoiled
    proxy.on(lambda r: r.headers.get("if-none-match") == "*", Answer(501), times=None)
    finished = program_with(entry_of(place)).run("check", "bucket", "--write")
    assert (0, "note") == (finished.code, states(finished)["conditions"])
    assert [] == bucket.keys()


def test_uploads_that_wait_are_counted(bucket, program_with):
    """Those of others; its own are gone by then."""
    client = bucket.client()
    client.create_multipart_upload(Bucket=bucket.name, Key="someones")
    client.close()
    finished = program_with(entry_of(bucket)).run("check", "bucket", "--write")
    line = findings(finished)["bucket", "uploads"]
    assert (0, "warning") == (finished.code, line["state"])  # moto began all of them in 2010
    assert line["said"].startswith("1 are open, the oldest for ")
    assert ["someones"] == bucket.open_uploads()


def test_a_stop_leaves_nothing_behind(spoiled, bucket, program_with):
    """SIGTERM in the middle of a part: the upload is dropped, the probe deleted, 75."""
    proxy, place = spoiled
    proxy.on(lambda r: "partNumber" in r.query, Delay(1.0))
    running = program_with(entry_of(place)).start("check", "bucket", "--write")
    proxy.wait_for(lambda r: "partNumber" in r.query)
    running.signal(signal.SIGTERM)
    finished = running.finish()
    assert 75 == finished.code
    assert "told to stop" in finished.report["error"]["message"]
    assert [] == bucket.keys()
    assert [] == bucket.open_uploads()


def test_a_stop_doesnt_wait_for_a_request_that_hangs(spoiled, bucket, program_with):
    """It ends all the same, and names what it had to leave."""
    proxy, place = spoiled
    proxy.on(lambda r: "partNumber" in r.query, Stall())
    running = program_with(entry_of(place)).start("check", "bucket", "--write")
    proxy.wait_for(lambda r: "partNumber" in r.query)
    running.signal(signal.SIGTERM)
    finished = running.finish(seconds=30)
    assert 75 == finished.code
    (left,) = bucket.keys()
    (upload,) = bucket.open_uploads()
    assert f"{left}, an open upload of {upload}" in finished.report["error"]["hint"]


def test_trouble_that_passes_is_tried_again(spoiled, program_with):
    """A store that is slow to wake is no failure."""
    proxy, place = spoiled
    proxy.on(_is_put, Answer(503), times=8)
    finished = program_with(entry_of(place)).run("check", "bucket", "--write")
    assert (0, HOLDS) == (finished.code, states(finished))
    assert finished.report["retries"] >= 1


@pytest.mark.parametrize(
    "matches",
    [
        lambda r: r.headers.get("if-none-match") == "*",
        lambda r: r.method == "GET" and "uploads" in r.query,
        lambda r: r.method == "GET" and "lifecycle" in r.query,
    ],
    ids=["conditions", "uploads", "lifecycle"],
)
def test_trouble_that_passes_is_tried_again_at_each_step(spoiled, program_with, matches):
    """A store that says 503 for a moment fails none of the checks."""
    proxy, place = spoiled
    proxy.on(matches, Answer(503), times=4)
    finished = program_with(entry_of(place)).run("check", "bucket", "--write")
    assert (0, HOLDS) == (finished.code, states(finished))


def test_a_store_that_never_answers_is_told_soon():
    """A check doesn't wait for an answer as long as a transfer of data does."""
    assert 10.0 == _parse("check", ["check"], {}).stall_timeout
    assert 60.0 == _parse("init", ["init"], {}).stall_timeout


def test_nobody_listens(bucket, closed_port, program_with):
    """75: it may pass; said within the seconds that were given."""
    place = bucket._replace(endpoint=f"http://127.0.0.1:{closed_port}")
    finished = program_with(entry_of(place), LIGHTERMAN_RETRY_FOR="1").run("check", "bucket")
    assert 75 == finished.code
    assert "refuses the connection" in findings(finished)["bucket", "list"]["said"]


def test_what_another_start_wont_mend_decides(bucket, closed_port, program_with):
    """The first failure that a retry doesn't help; only if there is none, 75."""
    sleeping = entry_of(bucket._replace(endpoint=f"http://127.0.0.1:{closed_port}"), "sleeping")
    missing = entry_of(bucket._replace(name="no-such-bucket"), "missing")
    finished = program_with(sleeping, missing, LIGHTERMAN_RETRY_FOR="0").run("check")
    assert 78 == finished.code
    assert "missing: list: " in finished.report["error"]["message"]
    assert "1 more checks failed" in finished.report["error"]["message"]
    assert 2 == finished.report["failed"]["count"]
    assert ["sleeping: list", "missing: list"] == [
        one["key"] for one in finished.report["failed"]["first"]
    ]


def test_without_names_it_is_the_whole_catalog(bucket, program_with):
    """Each connection of the catalog that holds files."""
    finished = program_with(entry_of(bucket, "one"), entry_of(bucket, "two")).run("check")
    assert 0 == finished.code
    assert ["one", "two"] == list(dict.fromkeys(subject for subject, _ in findings(finished)))


def test_polyaxons_other_connections_are_left_out(bucket, program_with):
    """A git host of its catalog holds no files."""
    catalog = [entry_of(bucket, "one"), {"name": "git", "kind": "git", "schema": {}}]
    program = program_with()
    finished = program.run(
        "check",
        environ={
            "LIGHTERMAN_CATALOG": "",
            "POLYAXON_CONNECTIONS_CATALOG": msgspec.json.encode(catalog).decode(),
        },
    )
    assert 0 == finished.code, finished.stderr
    assert {"one"} == {subject for subject, _ in findings(finished)}


def test_a_uri_with_the_credentials_of_the_environment(bucket, program_with):
    """Wherever a connection's name is taken, a URI is taken too."""
    finished = program_with(
        AWS_ACCESS_KEY_ID=bucket.access_key_id,
        AWS_SECRET_ACCESS_KEY=bucket.secret_access_key,
        AWS_ENDPOINT_URL=bucket.endpoint,
        AWS_REGION=bucket.region,
        hidden=[bucket.secret_access_key],
    ).run("check", f"s3://{bucket.name}/p", "--write", f"s3://{bucket.name}/q")
    assert 0 == finished.code
    subjects = {subject for subject, _ in findings(finished)}
    assert {f"s3://{bucket.name}/p", f"s3://{bucket.name}/q"} == subjects
    said = findings(finished)[f"s3://{bucket.name}/p", "credentials"]["said"]
    assert "from process environment" == said


def test_the_report_stays_small(bucket, program_with, tmp_path):
    """4,096 bytes at most, however much fails."""
    entries = [
        entry_of(bucket._replace(name=f"missing-{'x' * 40}-{number}"), f"{'n' * 50}-{number}")
        for number in range(30)
    ]
    finished = program_with(*entries).run("check")
    assert 78 == finished.code
    assert 30 == finished.report["failed"]["count"]
    assert (tmp_path / "report-1.json").stat().st_size <= 4096


def test_a_table_for_people(bucket, program_with):
    """One line a check, and the mend below it."""
    finished = program_with(entry_of(bucket)).run(
        "check", "bucket", "--write", "--results", "table"
    )
    lines = finished.stdout.splitlines()
    assert list(HOLDS.values()) == [line.split()[0] for line in lines if not line.startswith(" ")]
    assert any("→ give the bucket a lifecycle rule" in line for line in lines)


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["nobody"], 78, "no connection 'nobody'"),
        (["gs:/b"], 78, "no connection 'gs:/b'"),
        (["s3://user:secret-in-a-uri@b/p"], 78, "has a login in it"),
        (["bucket", "--to", "{pod}"], 78, "{pod} is not set"),
        (["bucket", "--results", "xml"], 64, "'xml'"),
        (["--spec", "nowhere.yaml"], 78, "nowhere.yaml"),
        (["--catalog", "/nowhere.yaml"], 78, "/nowhere.yaml"),
    ],
)
def test_wrong_input(bucket, program_with, argv, code, said):
    """It names what is wrong, and how to mend it; no secret of a URI is told."""
    finished = program_with(entry_of(bucket), hidden=["secret-in-a-uri"]).run("check", *argv)
    assert code == finished.code
    assert said in finished.report["error"]["message"]
    assert finished.report["error"]["hint"]


def test_nothing_to_check(program_with):
    """Neither names nor a catalog: 78, since nothing was tried."""
    finished = program_with().run("check")
    assert 78 == finished.code
    assert "nothing to check" in finished.report["error"]["message"]
