"""Every fenced block of docs/ is run, read by what reads it, or parsed: none goes unchecked (docs/internals.md)."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from docs_blocks import BLOCKS, DOCS, PAGES, REPOSITORY, Block
from pasting import SECRET, Shell, commands_in, environment_of, make_clone
from servers.buckets import S3Bucket
from servers.processes import moto_server

from lighterman.cli import COMMANDS, flags_of, parsed
from lighterman.connections.catalog import load_catalog
from lighterman.jobspec import job_spec
from lighterman.pods import Wishes, manifest_of
from lighterman.pods.read import read_job
from lighterman.pods.validate import known_versions, validate

LANGUAGES = {"sh", "console", "text", "yaml", "json", "python", "promql"}
"""Python is run by tests/library/test_library_docs.py, promql read by tests/test_monitoring.py."""
FOREIGN = {
    *("aws", "az", "cat", "curl", "docker", "gcloud", "kubectl", "mc", "pip", "radosgw-admin"),
}
"""What a console block may call beside Lighterman: none of it is here but AWS's."""
MOST_SECONDS = 300
"""Of one page: what docs/getting-started.md says of its own. Installing takes most of it."""
INSTALLS = re.compile(r"\bmake [a-z]")


def of(*languages: str) -> list:
    return [pytest.param(block, id=block.place) for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_block_has_a_language_that_is_checked(page):
    """A block without one, or with one that no test knows, would be unchecked."""
    fences = re.findall(r"^ *```.*$", page.read_text(), re.MULTILINE)
    found = [block for block in BLOCKS if block.page == str(page.relative_to(DOCS))]
    assert len(fences) == 2 * len(found)
    assert set() == {block.language for block in found} - LANGUAGES


def test_the_page_for_contributors_lists_every_decision():
    """In their order, by number."""
    files = [path.name for path in sorted((DOCS / "decisions").glob("*.md"))]
    listed = re.findall(
        r"^(\d+)\. \[.*\]\(decisions/(.*)\)$", (DOCS / "internals.md").read_text(), re.MULTILINE
    )
    assert [(str(int(name[:4])), name) for name in files] == listed


def test_the_page_for_contributors_names_the_languages():
    """And says how each is taken."""
    page = (DOCS / "internals.md").read_text()
    assert LANGUAGES == set(
        re.findall(r"^\| `([a-z]+)` \|", page.partition("## These pages")[2], re.MULTILINE)
    )


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(DOCS)))
        for page in PAGES
        if any(
            block.language == "sh" for block in BLOCKS if block.page == str(page.relative_to(DOCS))
        )
    ],
)
def test_commands_work_as_pasted(page, tmp_path):
    """Block after block, beside the files that the page gives, by somebody with a bucket on an empty server."""
    blocks = [block for block in BLOCKS if block.page == str(page.relative_to(DOCS))]
    installs = any(block.language == "sh" and INSTALLS.search(block.text) for block in blocks)
    directory = make_clone(tmp_path) if installs else tmp_path / "a directory"
    directory.mkdir(exist_ok=True)
    with moto_server(tmp_path / "log") as endpoint:
        S3Bucket(endpoint, "my-bucket").create()
        shell = Shell(directory, environment_of(endpoint) | ({} if installs else _installed()))
        begun = time.monotonic()
        for block in blocks:
            if block.title:
                (directory / block.title).write_text(block.text)
            if block.language == "sh":
                code, printed = shell.paste(block.text)
                assert code == 0, f"{block.place}\n{printed}"
                assert SECRET not in printed or "--reveal" in block.text
        assert time.monotonic() - begun < MOST_SECONDS


def _installed() -> dict[str, str]:
    """The program of this checkout, as if it were installed."""
    binaries = os.path.dirname(sys.executable)
    return {"PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.parametrize("block", of("console"))
def test_commands_that_need_a_cluster_or_a_cloud_are_ones_that_exist(block):
    """Lighterman's are parsed by its own parser, AWS's by its own; others are only known by name."""
    assert re.findall(r"^(?!\$ | +\S.*$)", block.text.rstrip(), re.MULTILINE) == []
    for command in commands_in(block.text):
        words = shlex.split(re.sub(r"^[A-Z]+=\$\((.*)\)\S*$", r"\1", command), comments=True)
        while words and re.fullmatch(r"[A-Z]+=\S+", words[0]):
            words = words[1:]
        if words and words[0] == "lighterman":
            arguments = [word for word in words[1:] if word != "…"]
            parsed(arguments[0], [*_before_redirection(arguments)], {})
        elif words and words[0] == "aws":
            _parsed_by_aws(words)
        else:
            assert not words or words[0] in FOREIGN


def _before_redirection(words: list[str]) -> list[str]:
    return words[: words.index(">")] if ">" in words else words


def _parsed_by_aws(words: list[str]) -> None:
    """``--generate-cli-skeleton output`` parses the command line against AWS's models, and asks nobody."""
    tool = Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [tool, *words[1:], "--generate-cli-skeleton", "output"],
        env=environment_of("http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


SPOKEN = re.compile(r"lighterman ([a-z][\w-]*)((?:[^\n]|\n +)*?)(?=lighterman [a-z]|\n\S|\n?\Z)")
"""A command, and what follows it to the end of its line, or of those indented below it."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_flags_that_are_spoken_of_exist(page):
    """In usage and in running text: of each command that is named with flags."""
    inline = re.findall(r"(?<!`)`(lighterman [^`\n]+)`", page.read_text())
    usage = [
        block.text
        for block in BLOCKS
        if block.page == str(page.relative_to(DOCS)) and block.language in {"text", "sh"}
    ]
    for text in inline + usage:
        for command, rest in SPOKEN.findall(text):
            if command not in COMMANDS:
                assert "--" not in rest, f"no command {command}: {text}"
                continue
            own = rest.partition(" -- ")[0]
            flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", own))
            assert set() == flags - set(flags_of(command)) - {"--help"}, text


TARGETS = re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_make_targets_that_are_spoken_of_exist(page):
    """`make X` is a target of the Makefile. (`make directory` is an action of a plan.)"""
    named = set(re.findall(r"`make ([a-z][a-z-]*)", page.read_text()))
    assert set() == named - set(TARGETS) - {"directory"}


def test_every_suite_is_on_the_page_for_contributors():
    """A target that tests something, and that nobody is told of, is run by nobody."""
    suites = {
        target for target in TARGETS if target.startswith("test") or target in {"lint", "docs"}
    }
    page = (DOCS / "internals.md").read_text()
    assert suites == set(re.findall(r"^\| `make (test[a-z-]*|lint|docs)` \|", page, re.MULTILINE))


@pytest.mark.parametrize("command", ["render"])
def test_every_flag_is_on_its_page(command):
    """Those of all commands (the catalog, the report, the log) stand elsewhere."""
    page = (DOCS / f"{command}.md").read_text()
    common = {"--report", "--log-level", "--log-format"}
    assert set() == {flag for flag in flags_of(command) if flag not in page} - common


def documents_in(block: Block) -> list:
    return [each for each in yaml.safe_load_all(block.text) if each is not None]


def catalog_of(document):
    """As the program reads it."""
    text = json.dumps(document)
    return load_catalog(text, {"LIGHTERMAN_CATALOG": text})


POD = {"containers": [{"name": "main", "image": "main"}]}
CONTAINER_FIELDS = {"ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "env"}
POD_FIELDS = {"volumes"}
ROLE_FIELDS = {"title", "description", "stage", "includedPermissions"}
"""https://cloud.google.com/iam/docs/reference/rest/v1/projects.roles#Role"""


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_taken_by_what_reads_it(block):
    """Catalogs and job specs by Lighterman, Kubernetes' own by its schemas, pieces of a pod within one."""
    found = documents_in(block)
    assert found
    for document in found:
        check_document(document, block)


def check_document(document, block):
    names = set(document)
    if "apiVersion" in names:
        check_object(document)
    elif names & {"init", "outputs", "run"}:
        check_job(document, block)
    elif names & {"connections", "persistence"}:
        assert catalog_of(document).names()
    elif names <= CONTAINER_FIELDS:
        check_object(pod({"containers": [POD["containers"][0] | document]}))
    elif names <= POD_FIELDS:
        check_object(pod(POD | document))
    else:
        assert ROLE_FIELDS == names
        assert all(each.startswith("storage.") for each in document["includedPermissions"])


def pod(spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def check_object(document):
    assert validate([document]) == known_versions()


def check_job(document, block):
    """A spec with a main container makes a manifest, with the catalog of its page, or that of examples/."""
    spec = job_spec(document, block.place)
    assert spec.init or spec.outputs
    if "container" not in document.get("run", {}):
        return
    catalogs = [
        each
        for other in BLOCKS
        if other.page == block.page and other.language == "yaml"
        for each in documents_in(other)
        if "connections" in each and "run" not in each
    ]
    ours = yaml.safe_load((REPOSITORY / "examples" / "connections.yaml").read_text())
    check_manifest(block, catalogs or [ours])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Files are written where the test is."""
    monkeypatch.chdir(tmp_path)


def check_manifest(block, catalogs):
    Path("job.yaml").write_text(block.text)
    named = {}
    for each in catalogs:
        catalog = catalog_of(each)
        named |= {name: catalog.get(name) for name in catalog.names()}
    manifest = manifest_of(read_job("job.yaml"), Wishes("lighterman"), named.__getitem__)
    assert validate(manifest.documents) == known_versions()


@pytest.mark.parametrize("block", of("json"))
def test_json_is_of_a_form_that_is_known(block):
    """Policies, trust, roles, rules and catalogs; what policies allow is tested with the clouds' servers."""
    document = json.loads(block.text)
    if isinstance(document, list):
        assert catalog_of(document).names()
    elif "Statement" in document:
        check_policy(document)
    elif "DataActions" in document:
        assert {"Name", "Description", "AssignableScopes", "Actions", "DataActions"} == set(
            document
        )
    elif "Rules" in document:
        [rule] = document["Rules"]
        assert rule["Status"] == "Enabled"
        assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] > 0
    else:
        assert {"Condition"} == set(document)


def check_policy(document):
    assert document["Version"] == "2012-10-17"
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        services = {
            each.partition(":")[0] for each in ([actions] if isinstance(actions, str) else actions)
        }
        if services == {"sts"}:
            assert {"Effect", "Principal", "Action"} <= set(statement)
        else:
            assert {"s3"} == services
            assert {"Effect", "Action", "Resource"} <= set(statement)


def test_the_rule_of_the_page_is_one_that_check_is_content_with(s3_bucket, tmp_path):
    """What `check` warns of, the page mends."""
    from docs_blocks import titled
    from program import Program

    client = s3_bucket.client()
    client.put_bucket_lifecycle_configuration(
        Bucket=s3_bucket.name,
        LifecycleConfiguration=json.loads(titled("clouds/aws.md", "lifecycle.json")),
    )
    client.close()
    environ = {
        "AWS_ENDPOINT_URL": s3_bucket.endpoint,
        "AWS_ACCESS_KEY_ID": s3_bucket.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3_bucket.secret_access_key,
        "AWS_REGION": s3_bucket.region,
    }
    finished = Program(tmp_path, environ).run("check", f"s3://{s3_bucket.name}/runs", "--write")
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    [told] = [line for line in lines if line["check"] == "lifecycle"]
    assert ("ok", "incomplete uploads are aborted after 7 days") == (told["state"], told["said"])
