"""What docs/clouds/ says that a login needs is enough for all that jobs do, and all of it is needed."""

import json

import places
import pytest
import yaml
from docs_blocks import titled
from permission_scenes import AREA, Scene
from program import Program
from servers.gcs_access import ROLES

COPY = "x-amz-copy-source"
CONDITIONAL = ("--on-conflict", "fail")


@pytest.fixture
def scene_of(tmp_path, proxy_to):
    """The program as somebody with few rights in a place, and what it asks for."""

    def make(owner, login):
        proxy = proxy_to(owner.endpoint)
        secret = tmp_path / "secret"
        secret.mkdir()
        entry = places.entry(places.through(owner, proxy.url), secret)
        entry["schema"]["bucket"] += f"/{AREA}"
        for name, text in login.items():
            (secret / name).write_text(text)
        (tmp_path / "catalog.json").write_text(json.dumps([entry]))
        environ = {"LIGHTERMAN_CATALOG": str(tmp_path / "catalog.json")}
        return Scene(Program(tmp_path, environ), owner, proxy, tmp_path)

    return make


def s3_actions(request):
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html"""
    query, key = request.query, request.path.strip("/").partition("/")[2]
    if not key:
        return {
            "s3:ListBucketMultipartUploads"
            if "uploads" in query
            else "s3:GetLifecycleConfiguration"
            if "lifecycle" in query
            else "s3:ListBucket"
        }
    if request.method in {"GET", "HEAD"}:
        return {"s3:ListMultipartUploadParts" if "uploadId" in query else "s3:GetObject"}
    if request.method == "DELETE":
        return {"s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"}
    return {"s3:PutObject"} | ({"s3:GetObject"} if COPY in request.headers else set())


def policy_for(title, bucket, page="clouds/aws.md"):
    """The policy of the page, for another bucket and prefix, and its actions."""
    text = titled(page, title)
    for named in ("datasets", "runs"):
        text = text.replace(f"my-bucket/{named}/", f"my-bucket/{AREA}/")
    policy = json.loads(text.replace("my-bucket", bucket))
    actions = set()
    for statement in policy["Statement"]:
        action = statement["Action"]
        actions |= {action} if isinstance(action, str) else set(action)
    return policy, actions


def s3_scene(account, scene_of, title):
    owner = account.bucket()
    policy, actions = policy_for(title, owner.name)
    return s3_scene_of(account, scene_of, owner, policy), actions


def s3_scene_of(account, scene_of, owner, policy):
    key = account.make_key(policy)
    login = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }
    return scene_of(owner, login)


def assert_s3_asks_below(scene):
    """Listings of other prefixes than the connection's own would need more than the condition of the page."""
    listed = [
        request.query.get("prefix", "")
        for request in scene.requests
        if s3_actions(request) & {"s3:ListBucket", "s3:ListBucketMultipartUploads"}
    ]
    assert set() == {each for each in listed if not each.startswith(f"{AREA}/")}


def assert_nothing_was_refused(scene):
    """A refusal that is lived with, as that of copies, would show in no exit code."""
    assert [] == [request for request in scene.requests if request.status in {401, 403}]


def test_the_reading_policy_is_enough_and_no_more(account, scene_of):
    """A server that checks each request against the page's policy lets all of it through; every action is used."""
    scene, actions = s3_scene(account, scene_of, "read-policy.json")

    scene.reads()

    assert actions == set().union(*map(s3_actions, scene.requests))
    assert_s3_asks_below(scene)


def test_what_a_policy_does_not_allow_is_refused(account, scene_of):
    """The server really checks: who may read may not write."""
    scene, _ = s3_scene(account, scene_of, "read-policy.json")
    scene.outputs.write("a")

    scene.run("sync", *scene.outputs.flags(), code=77)


def test_the_writing_policy_is_enough_and_no_more(account, scene_of):
    """As for reading; copies, resumed and abandoned uploads and deletes are among it."""
    scene, actions = s3_scene(account, scene_of, "write-policy.json")

    scene.writes(*CONDITIONAL)

    assert actions == set().union(*map(s3_actions, scene.requests))
    assert_nothing_was_refused(scene)
    assert_s3_asks_below(scene)


GROWS, MOVES, DELETES, GOES_ON, GIVES_UP, LAST, VERIFY, CHECK = range(8)
"""The commands of a writer's life, in their order."""
FAILS = {
    "s3:ListBucketMultipartUploads": set(),
    "s3:GetLifecycleConfiguration": set(),
    "s3:AbortMultipartUpload": set(),
    "s3:GetObject": {MOVES, DELETES, VERIFY},
    "s3:DeleteObject": {MOVES, DELETES, GOES_ON, GIVES_UP, LAST, CHECK},
    "s3:ListMultipartUploadParts": {GOES_ON, GIVES_UP, LAST},
}
"""What ends with 77 without one action. Where nothing does, something stays behind, or is only said."""


@pytest.mark.parametrize("lacking", FAILS)
def test_what_is_left_without_an_action(account, scene_of, lacking):
    """The page tells of each what fails without it; its file fails by name, the others are in the bucket."""
    owner = account.bucket()
    policy, _ = policy_for("write-policy.json", owner.name)
    for statement in policy["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != lacking]
    scene = s3_scene_of(account, scene_of, owner, policy)
    scene.may_fail = True

    scene.writes(*CONDITIONAL)

    assert FAILS[lacking] == {index for index, code in enumerate(scene.codes) if code == 77}


@pytest.mark.ceph
def test_the_bucket_policy_for_ceph_is_enough(rgw, rgw_bucket, scene_of):
    """RGW checks each request of a user who isn't the bucket's owner against the page's policy."""
    if rgw.directory is None:
        pytest.skip("users are made only in a Ceph of our own")
    policy, _ = policy_for("bucket-policy.json", rgw_bucket.name, "clouds/s3-compatible.md")
    key, secret = rgw.make_user("trainer")
    client = rgw_bucket.client()
    client.put_bucket_policy(Bucket=rgw_bucket.name, Policy=json.dumps(policy))
    client.close()
    login = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    scene = scene_of(rgw_bucket, login)

    scene.reads()
    scene.writes()  # this Ceph keeps no conditions

    assert_nothing_was_refused(scene)


def gcs_permissions(request):
    """https://cloud.google.com/storage/docs/access-control/iam-json, and iam-xml for paths without /storage/v1"""
    path = request.path
    if path == "/token" or "upload_id" in request.query:
        return set()  # the login itself, and a session whose begin took the permission
    if "/rewriteTo/" in path:
        return {"storage.objects.get", "storage.objects.create"}
    if path.startswith("/storage/v1/b/") and "/o" not in path:
        return {"storage.buckets.get"}
    if request.method == "GET" and path.endswith("/o"):
        return {"storage.objects.list"}
    made = {"POST": "create", "PUT": "create", "DELETE": "delete"}
    return {f"storage.objects.{made.get(request.method, 'get')}"}


def gcs_scene(gcs_bucket, scene_of, role):
    email = f"few-rights-{gcs_bucket.name}@tests.iam.gserviceaccount.com"
    gcs_bucket.grant(role, f"serviceAccount:{email}")
    key = gcs_bucket.server.service_account(email, owner=False)
    return scene_of(gcs_bucket, {"key.json": json.dumps(key)})


def test_googles_viewer_is_enough_to_read(gcs_bucket, scene_of):
    """roles/storage.objectViewer, whose permissions the server checks."""
    scene = gcs_scene(gcs_bucket, scene_of, "roles/storage.objectViewer")

    scene.reads()

    seen = set().union(*map(gcs_permissions, scene.requests))
    assert {"storage.objects.get", "storage.objects.list"} == seen
    assert_nothing_was_refused(scene)


def test_the_role_for_writing_to_google_is_enough_and_no_more(gcs_bucket, scene_of):
    """The custom role of the page: all its permissions are used, and no others."""
    role = yaml.safe_load(titled("clouds/google.md", "role.yaml"))
    scene = gcs_scene(gcs_bucket, scene_of, "projects/tests/roles/lightermanWriter")

    scene.writes(*CONDITIONAL)

    permissions = set(role["includedPermissions"])
    assert ROLES["projects/tests/roles/lightermanWriter"] == permissions
    assert set().union(*map(gcs_permissions, scene.requests)) == permissions
    assert permissions < ROLES["roles/storage.objectUser"]
    assert_nothing_was_refused(scene)


BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


def azure_actions(request):
    """https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory"""
    reads = {f"{BLOBS}/read"}
    if request.method in {"GET", "HEAD"}:
        return reads
    if request.method == "DELETE":
        return {f"{BLOBS}/delete"}
    return {f"{BLOBS}/write"} | (reads if "x-ms-copy-source" in request.headers else set())


def azure_scene(container, scene_of, permissions):
    login = {
        "AZURE_STORAGE_ACCOUNT": container.server.account,
        "AZURE_STORAGE_SAS_TOKEN": container.sas(permissions),
    }
    return scene_of(container, login)


def data_actions(title):
    return set(json.loads(titled("clouds/azure.md", title))["DataActions"])


def test_the_role_for_reading_from_azure_is_enough_and_no_more(azure_container, scene_of):
    """Requests are told by what they take; a SAS of the page's letters, which Azurite checks, lets them through."""
    scene = azure_scene(azure_container, scene_of, "rl")

    scene.reads()

    assert data_actions("read-role.json") == set().union(*map(azure_actions, scene.requests))
    assert_nothing_was_refused(scene)


def test_the_role_for_writing_to_azure_is_enough_and_no_more(azure_container, scene_of):
    """As for reading."""
    scene = azure_scene(azure_container, scene_of, "rwdl")

    scene.writes(*CONDITIONAL)

    assert data_actions("write-role.json") == set().union(*map(azure_actions, scene.requests))
    assert_nothing_was_refused(scene)
