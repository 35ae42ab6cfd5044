"""
What Polyaxon's compiler writes for its init and sidecar containers (2.18), run as the containers would: the shell line
with a ``polyaxon`` on the PATH, and the sidecar's arguments beside Kubernetes' API.
"""

import json
import os
import subprocess
import sys

import pytest
from outputs_place import eventually
from program import REPOSITORY, Program
from servers.kubernetes import NAMESPACE, POD, TOKEN, KubernetesApi

UUID = "8aac02e3a62a4f0aaa257c59da5eab80"
SIDECAR = (
    "sidecar",
    "--container-id=polyaxon-main",
    "--sleep-interval=1",
    "--sync-interval=10",
    "--monitor-logs",
    "--monitor-spec",
)


class Run:
    """One run of Polyaxon's: its volume, its store, and the environment that its containers get."""

    def __init__(self, directory, bucket):
        self.bucket = bucket
        self.root = directory / "plx-context"
        self.path = self.root / "artifacts" / UUID
        self.store = f"s3://{bucket.name}/store"
        entry = {"name": "store", "kind": "s3", "schema": {"bucket": self.store}}
        self.environ = {
            "POLYAXON_K8S_NODE_NAME": "node",
            "POLYAXON_K8S_NAMESPACE": NAMESPACE,
            "POLYAXON_K8S_POD_ID": POD,
            "POLYAXON_HOST": "http://localhost:8000",
            "POLYAXON_RUN_INSTANCE": f"acme.mnist.runs.{UUID}",
            "POLYAXON_CONTAINER_ID": "polyaxon-main",
            "POLYAXON_ARTIFACTS_STORE_NAME": "store",
            "POLYAXON_CONNECTIONS_CATALOG": json.dumps({"connections": [entry]}),
            "POLYAXON_CONTEXT_ROOT": str(self.root),
            "AWS_ACCESS_KEY_ID": bucket.access_key_id,
            "AWS_SECRET_ACCESS_KEY": bucket.secret_access_key,
            "AWS_ENDPOINT_URL": bucket.endpoint,
            "AWS_REGION": "us-east-1",
        }

    def put(self, contents):
        for key, body in contents.items():
            self.bucket.put(f"store/{key}", body)

    def stored(self):
        """The files in the store."""
        return [key for key in self.bucket.keys() if not key.endswith("/")]  # noqa: SIM118 - its own method

    def placed(self):
        """What is on the volume."""
        return {
            str(path.relative_to(self.root / "artifacts")): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and ".lighterman" not in path.parts
        }


@pytest.fixture
def run(account, tmp_path):
    """A run whose artifacts store is in an account that checks who asks."""
    return Run(tmp_path, account.bucket())


@pytest.fixture
def api(authority, tmp_path):
    with KubernetesApi(authority, tmp_path) as api:
        yield api


@pytest.fixture
def init(run, tmp_path):
    """Runs an init container: ``/bin/sh -c LINE``, where ``polyaxon`` is another name of the program."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "polyaxon"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m lighterman "$@"\n')
    command.chmod(0o755)

    def call(line, **more):
        environ = run.environ | {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "TMPDIR": str(tmp_path),
            "LIGHTERMAN_REPORT": str(tmp_path / "termination-log"),
            "LIGHTERMAN_RETRY_FOR": "30",
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
        }
        line = line.replace("/plx-context", str(run.root))
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=environ | more, capture_output=True, text=True, check=False
        )
        assert run.bucket.secret_access_key not in done.stdout + done.stderr
        return done

    return call


@pytest.fixture
def sidecar(run, api, tmp_path):
    """Starts the sidecar container; the volume is there, as the init before it made it."""
    (run.path / "outputs").mkdir(parents=True)
    secrets = [run.bucket.secret_access_key, TOKEN]
    environ = run.environ | api.environ | {"LIGHTERMAN_SERVICE_ACCOUNT": str(api.service_account)}
    program = Program(tmp_path, environ, secrets)
    return lambda *more, **popen: program.start(*SIDECAR, *more, **popen)


def made(path):
    return f'if [ ! -d "{path}" ]; then mkdir -m 0777 -p {path}; fi; '


def call(source, target, flags=""):
    return (
        "polyaxon initializer path --connection-name=store --connection-kind=s3 "
        f"--path-from={source} --path-to={target} {flags};"
    )


def test_declared_files_and_dirs_arrive_where_polyaxon_puts_them(run, init):
    """`artifacts: {files: [a/b.txt, [x.csv, y/z.csv]], dirs: [train, [val, validation]]}` of a connection."""
    run.put(
        {
            "a/b.txt": b"1",
            "x.csv": b"2",
            "train/t": b"3",
            "train/sub/u": b"4",
            "val/v": b"5",
            "train-hf/w": b"6",
        }
    )
    to = "/plx-context/artifacts/store"
    line = " ".join(
        [
            made(f"{to}/a") + call(f"{run.store}/a/b.txt", f"{to}/a/b.txt", "--is-file"),
            made(f"{to}/y") + call(f"{run.store}/x.csv", f"{to}/y/z.csv", "--is-file"),
            made(f"{to}/train") + call(f"{run.store}/train", f"{to}/train"),
            made(f"{to}/validation") + call(f"{run.store}/val", f"{to}/validation"),
        ]
    )
    done = init(line)
    assert done.returncode == 0, done.stderr
    assert run.placed() == {
        "store/a/b.txt": b"1",
        "store/y/z.csv": b"2",
        "store/train/t": b"3",
        "store/train/sub/u": b"4",
        "store/validation/v": b"5",
    }


def test_nothing_declared_is_the_whole_connection(run, init):
    """Polyaxon writes the root with a slash at its end."""
    run.put({"a": b"1", "b/c": b"2"})
    to = "/plx-context/artifacts/store/"
    done = init(made(to) + call(f"{run.store}/", to))
    assert done.returncode == 0, done.stderr
    assert run.placed() == {"store/a": b"1", "store/b/c": b"2"}


def test_a_path_that_may_be_either_is_looked_at(run, init):
    """`paths: [file, [dir, renamed]]`: the store knows which is which."""
    run.put({"some/file": b"1", "dir/a": b"2"})
    to = "/plx-context/artifacts/store"
    line = made(f"{to}/some") + call(f"{run.store}/some/file", f"{to}/some/file", "--check-path")
    line += made(to) + call(f"{run.store}/dir", f"{to}/renamed", "--check-path")
    done = init(line)
    assert done.returncode == 0, done.stderr
    assert run.placed() == {"store/some/file": b"1", "store/renamed/a": b"2"}


@pytest.mark.parametrize("what", ["s3", "path"])
def test_the_kinds_have_words_of_their_own(run, init, what):
    """`initializer s3` says the kind that `initializer path` has as a flag."""
    run.put({"train/t": b"3"})
    done = init(
        f"polyaxon initializer {what} --connection-name=store --path-from={run.store}/train "
        "--path-to=/plx-context/artifacts/store/train --raise-errors"
    )
    assert done.returncode == 0, done.stderr
    assert list(run.placed()) == ["store/train/t"]


@pytest.mark.parametrize(
    ("call_", "code", "said"),
    [
        ("path --connection-name=stroe --path-from=x --path-to=y", 78, "no connection 'stroe'"),
        ("path --connection-name=store --path-to=y", 64, "without --path-from"),
        (
            "path --connection-name=store --path-from=s3://other/x --path-to=y",
            78,
            "isn't in connection",
        ),
        ("gcs --connection-name=store --path-from=x --path-to=y", 78, "is of kind s3, not gcs"),
        ("auth", 78, "initializer auth isn't done here: it gets a token"),
        ("git --repo-path=/x --url=https://example.com/r", 78, "it clones a repository"),
        ("file --file-context={} --filepath=/x --track", 78, "it writes a file"),
        ("tensorboard --context-from=x --uuids=y", 78, "it asks Polyaxon's API for runs"),
        ("frobnicate", 64, "there is no initializer 'frobnicate'"),
        ("", 64, "what is to be brought?"),
    ],
)
def test_what_cant_be_mapped_is_named(run, init, tmp_path, call_, code, said):
    """One line, with the code that tells it apart; Polyaxon's own ends with 0 on an unknown connection."""
    done = init(f"polyaxon initializer {call_}")
    assert done.returncode == code, done.stderr
    assert said in json.loads((tmp_path / "termination-log").read_text())["error"]["message"]


def test_a_source_that_isnt_there_fails_the_container(run, init, tmp_path):
    """Whichever call of the line it was: the calls after it end as it did."""
    run.put({"train/t": b"3"})
    to = "/plx-context/artifacts/store"
    line = call(f"{run.store}/nowhere", f"{to}/nowhere") + call(f"{run.store}/train", f"{to}/train")
    done = init(line)
    assert done.returncode == 66, done.stderr
    assert "nowhere" in json.loads((tmp_path / "termination-log").read_text())["error"]["message"]
    assert run.placed() == {}


def resume(run):
    to = f"/plx-context/artifacts/{UUID}"
    return made(to) + made(f"{to}/outputs") + call(f"{run.store}/{UUID}", to, "--sync-fw")


def test_the_first_start_of_a_run_finds_nothing_to_resume(run, init):
    """Polyaxon asks at each start (autoResume): nothing there is no error."""
    done = init(resume(run))
    assert done.returncode == 0, done.stderr
    assert run.path.is_dir()


def test_a_resumed_run_gets_its_outputs_and_sends_only_what_is_new(run, init, sidecar, api):
    """What init brought from the run's own prefix isn't sent again; what main writes then is."""
    run.put({f"{UUID}/outputs/old.bin": b"old", f"{UUID}/events/e.plx": b"e"})
    done = init(resume(run))
    assert done.returncode == 0, done.stderr
    assert run.placed()[f"{UUID}/outputs/old.bin"] == b"old"
    running = sidecar()
    running.wait_for_event("sidecar.reconciled")
    (run.path / "outputs" / "new.bin").write_bytes(b"new")
    api.end("polyaxon-main")
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert run.bucket.get(f"store/{UUID}/outputs/new.bin") == b"new"
    assert ended.report["files"] == 1


def test_outputs_are_in_the_store_while_main_runs_and_when_it_ended(run, sidecar, api):
    """The run's directory goes to its prefix of the artifacts store; the pod's API tells of main's end."""
    running = sidecar()
    running.wait_for_event("sidecar.reconciled")
    (run.path / "outputs" / "metrics.json").write_bytes(b"{}")
    eventually(lambda: f"store/{UUID}/outputs/metrics.json" in run.stored())
    (run.path / ".git").mkdir()
    (run.path / ".git" / "HEAD").write_bytes(b"ref")
    (run.path / "last.tmp").write_bytes(b"last")
    assert running.process.poll() is None
    api.end("polyaxon-main", code=1)
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert run.stored() == [
        f"store/{UUID}/last.tmp",
        f"store/{UUID}/outputs/metrics.json",
    ]
    assert ended.event("polyaxon.main_ended")["container"] == "polyaxon-main"
    assert ended.event("polyaxon.not_mapped")["flags"] == "--monitor-logs --monitor-spec"


def test_a_main_that_ended_before_is_no_endless_wait(run, sidecar, api):
    """A sidecar that was restarted late, or a main that is done in a moment."""
    (run.path / "outputs" / "a").write_bytes(b"a")
    api.end("polyaxon-main")
    assert sidecar().finish(seconds=30).code == 0
    assert run.stored() == [f"store/{UUID}/outputs/a"]


def test_an_api_that_fails_for_a_while_is_asked_again(run, sidecar, api):
    """Said once; a token that the kubelet replaced is read again."""
    running = sidecar()
    running.wait_for_event("sidecar.reconciled")
    api.status = 503
    running.wait_for_event("polyaxon.pod_unknown")
    asked = len(api.asked)
    eventually(lambda: len(api.asked) > asked + 1)
    api.status = 200
    api.rotate("another-token-of-the-kubelet")
    api.end("polyaxon-main")
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert sum(event["event"] == "polyaxon.pod_unknown" for event in ended.events) == 1


def test_a_service_account_that_may_not_ask_ends_it_at_once(sidecar, api):
    """77: nothing would ever tell main's end; the mend is a role."""
    api.status = 403
    ended = sidecar().finish()
    assert (ended.code, ended.report["error"]["kind"]) == (77, "credentials")
    assert f"may not read pod {POD} (403)" in ended.report["error"]["message"]
    assert "get pods" in ended.report["error"]["hint"]


def test_a_pod_without_a_service_account_is_refused(run, api, tmp_path):
    """78: automountServiceAccountToken: false leaves nobody to ask."""
    program = Program(tmp_path, run.environ | api.environ)
    ended = program.run(*SIDECAR, environ={"LIGHTERMAN_SERVICE_ACCOUNT": str(tmp_path / "no")})
    assert ended.code == 78
    assert "automountServiceAccountToken" in ended.report["error"]["hint"]
