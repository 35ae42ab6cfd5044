"""What ``render`` refuses: each by name, with its mend, and without a line of a manifest."""

import pytest
from program import Program
from rendering import ABSENT, ENTRY, MAIN, OUT

SHARD = {"index": "$JOB_COMPLETION_INDEX", "count": 4}


REFUSED = {
    "an unknown field at the top": (
        {"top": {"nmae": "x"}},
        "job.yaml: nmae: unknown field",
        "did you mean name?",
    ),
    "an unknown field under run": (
        {"enviroment": {}},
        "run.enviroment: unknown field",
        "did you mean environment?",
    ),
    "an unknown field of main": (
        {"main": {"comand": ["x"]}},
        "run.container.comand: unknown field",
        "did you mean command?",
    ),
    "an unknown field of the pod": (
        {"environment": {"nodeSelectors": {}}},
        "run.environment.nodeSelectors: unknown field",
        "did you mean nodeSelector?",
    ),
    "an unknown field of a mount": (
        {"main": {"volumeMounts": [{"name": "v", "mountPaht": "/v"}]}},
        "run.container.volumeMounts[0].mountPaht: unknown field",
        "did you mean mountPath?",
    ),
    "an unknown field of an init entry": (
        {"init": [ENTRY | {"pth": "/x"}]},
        "run.init[0].pth: unknown field",
        "did you mean path?",
    ),
    "run's members beside run": (
        {"top": {"container": MAIN}},
        "job.yaml: container: stands beside run",
        "move it under run",
    ),
    "another kind of run": ({"kind": "service"}, "run.kind: render makes Jobs only", "kind: job"),
    "no container": ({"container": ABSENT}, "run.container: missing", "required"),
    "no name": ({"top": {"name": ABSENT}}, "job.yaml: name: missing", "--name"),
    "a name that is none": (
        {"top": {"name": "My_Job"}},
        "job.yaml: name: 'My_Job' is no name of a Job",
        "small letters",
    ),
    "nothing of ours": (
        {"init": ABSENT, "outputs": ABSENT},
        "neither an init block nor outputs",
        "init: […]",
    ),
    "a connection that isn't in the catalog": (
        {"init": [ENTRY | {"connection": "dta"}]},
        "job.yaml: run.init[0].connection: no connection 'dta' in the catalog",
        "did you mean data?",
    ),
    "main's connection that isn't in the catalog": (
        {"connections": ["data", "elsewhere"]},
        "job.yaml: run.connections[1]: no connection 'elsewhere'",
        "it has: data, runs",
    ),
    "two entries to one path": (
        {"init": [ENTRY, ENTRY | {"path": "/data/"}]},
        "run.init[1].path: two init entries go to /data",
        "a path of its own",
    ),
    "outputs in an init path of another connection": (
        {"outputs": OUT | {"path": "/data/out"}},
        "run.outputs.path: /data/out and the path of run.init[0], /data, are one inside the other",
        "a path of their own",
    ),
    "outputs at an init path of another connection": (
        {"outputs": OUT | {"path": "/data"}},
        "run.outputs.path: run.init[0] brings something else to /data",
        "a resumed run",
    ),
    "outputs at an init path of another prefix": (
        {
            "init": [{"connection": "runs", "artifacts": {"dirs": [["1", "."]]}, "path": "/work"}],
            "outputs": {"connection": "runs", "path": "/work", "to": "2"},
        },
        "run.outputs.path: run.init[0] brings something else to /work",
        "a resumed run",
    ),
    "inputs among the outputs": (
        {"init": [ENTRY | {"path": "/outputs/in"}]},
        "one inside the other",
        "would be sent out again",
    ),
    "two outputs in one another": (
        {"outputs": [OUT, OUT | {"path": "/outputs/x", "to": "x"}]},
        "two outputs share /outputs",
        "none below another",
    ),
    "two outputs to one place": (
        {"outputs": [OUT | {"to": "x"}, OUT | {"path": "/more", "to": "x/y"}]},
        "two outputs go to the same place",
        "a prefix of its own",
    ),
    "main's uid unknown": (
        {"main": {"securityContext": ABSENT}},
        "run.container.securityContext.runAsUser: main's user isn't known",
        "--run-as UID[:GID]",
    ),
    "a root that is none": (
        {
            "main": {"securityContext": {"runAsUser": 0}},
            "environment": {"securityContext": {"runAsNonRoot": True}},
        },
        "run.container.securityContext.runAsUser: main is root, and runAsNonRoot says that it isn't",
        "take one of them out",
    ),
    "a uid that is none": (
        {"main": {"securityContext": {"runAsUser": -1}}},
        "run.container.securityContext.runAsUser: -1 is no user's number",
        "from 0 to",
    ),
    "the pod's uid that is none": (
        {
            "main": {"securityContext": ABSENT},
            "environment": {"securityContext": {"runAsUser": 2**31}},
        },
        "run.environment.securityContext.runAsUser: 2147483648 is no user's number",
        "from 0 to",
    ),
    "a prefix that replicas would share": (
        {"parallelism": 4, "outputs": OUT | {"to": "runs/1"}},
        "run.outputs.to: 4 pods would share the prefix 'runs/1'",
        "to: runs/1/{pod}",
    ),
    "a prefix that indexes would share": (
        {"completions": 4, "outputs": OUT | {"to": "{namespace}"}},
        "run.outputs.to: 4 pods would share the prefix '{namespace}'",
        "to: {namespace}/{index}",
    ),
    "no prefix at all for replicas": (
        {"completions": 2, "outputs": {"connection": "runs", "path": "/outputs"}},
        "run.outputs.to: 2 pods would share the prefix",
        "to: {index}",
    ),
    "an index without indexes": (
        {"outputs": OUT | {"to": "{index}"}},
        "run.outputs.to: {index} is set in Indexed Jobs only",
        "run.completions",
    ),
    "a word that no prefix has": (
        {"outputs": OUT | {"to": "{node}"}},
        "run.outputs.to: prefix {node}: there is no word {node}",
        "words:",
    ),
    "a shard without indexes": (
        {"init": [ENTRY | {"shard": SHARD}]},
        "run.init[0].shard.index: $JOB_COMPLETION_INDEX is set in Indexed Jobs only",
        "run.completions",
    ),
    "shards that nobody brings": (
        {
            "completions": 3,
            "outputs": OUT | {"to": "{index}"},
            "init": [ENTRY | {"shard": SHARD}],
        },
        "run.init[0].shard.count: 4 shards for 3 completions",
        "write 3",
    ),
    "a shard's variable that nobody sets": (
        {"init": [ENTRY | {"shard": {"index": "$RANK", "count": 4}}]},
        "run.init[0].shard.index: $RANK isn't set in the init container",
        "run.lighterman.init.env",
    ),
    "an init path that is the root": (
        {"init": [ENTRY | {"path": "/"}]},
        "run.init[0].path: the root of the file system",
        "a directory of its own",
    ),
    "a path of Lighterman's own": (
        {"init": [ENTRY | {"path": "/etc"}]},
        "run.init[0].path: /etc and Lighterman's own /etc/lighterman",
        "another directory",
    ),
    "a relative init path": (
        {"init": [ENTRY | {"path": "data"}]},
        "run.init[0].path: 'data' is no absolute path",
        "begins with a slash",
    ),
    "a relative outputs path": (
        {"outputs": OUT | {"path": "./outputs"}},
        "run.outputs.path: './outputs' is no absolute path",
        "begins with a slash",
    ),
    "a relative cache": (
        {"init": [ENTRY | {"cache": "cache"}]},
        "run.init[0].cache: 'cache' is no absolute path",
        "begins with a slash",
    ),
    "a cache that is the node's root": (
        {"init": [ENTRY | {"cache": "/"}]},
        "run.init[0].cache: the root of the file system",
        "a directory of its own",
    ),
    "a cache among the inputs": (
        {"init": [ENTRY | {"cache": "/data/cache"}]},
        "run.init[0].cache: /data/cache and run.init[0].path, /data, are one inside the other",
        "a directory of its own",
    ),
    "a cache among the outputs": (
        {"init": [ENTRY | {"cache": "/outputs"}]},
        "run.init[0].cache: /outputs and run.outputs.path, /outputs, are one inside the other",
        "a directory of its own",
    ),
    "a path that no volume can be mounted at": (
        {"init": [ENTRY | {"path": "/data:1"}]},
        "run.init[0].path: '/data:1' is no place for a volume",
        "without colons",
    ),
    "a path of several lines": (
        {"init": [ENTRY | {"cache": "/x\ny: 1"}]},
        "is no place for a volume",
        "control characters",
    ),
    "a mount of no volume": (
        {"main": {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}},
        "run.container.volumeMounts[0].name: there is no volume scratch",
        "run.volumes",
    ),
    "two volumes of one name": (
        {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
        "run.volumes[1].name: another volume is called v",
        "rename",
    ),
    "inputs on a volume that nobody can write": (
        {
            "volumes": [{"name": "v", "configMap": {"name": "c"}}],
            "main": {"volumeMounts": [{"name": "v", "mountPath": "/data"}]},
        },
        "run.init[0].path: /data lies on the volume v, which main mounts at /data, and which is a configMap",
        "that can be written",
    ),
    "inputs on a claim that is read-only": (
        {
            "volumes": [
                {"name": "v", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}}
            ],
            "main": {"volumeMounts": [{"name": "v", "mountPath": "/data"}]},
        },
        "run.init[0].path: /data lies on the volume v, which main mounts at /data, and which is read-only",
        "that can be written",
    ),
    "a part of a volume by a variable that isn't there": (
        {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "main": {
                "volumeMounts": [{"name": "v", "mountPath": "/data", "subPathExpr": "$(WHO)"}]
            },
        },
        "run.container.volumeMounts[0].subPathExpr: $(WHO) isn't set in main's env",
        "run.container.env",
    ),
    "an init block that declares nothing": (
        {"init": [], "outputs": ABSENT},
        "neither an init block nor outputs",
        "init: […]",
    ),
    "more than a ConfigMap holds": (
        {"init": [ENTRY | {"artifacts": {"files": [f"{'x' * 100}/{n}" for n in range(11000)]}}]},
        "and a ConfigMap holds 1048576",
        "name directories",
    ),
    "a volume over the image's programs": (
        {"init": [ENTRY | {"path": "/usr/local"}]},
        "run.init[0].path: a volume at /usr/local would hide /usr/local/bin",
        "another directory",
    ),
    "a volume in /proc": (
        {"outputs": OUT | {"path": "/proc/x"}},
        "run.outputs.path: a volume at /proc/x would hide /proc",
        "another directory",
    ),
    "main's volume over our image's programs": (
        {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "main": {"volumeMounts": [{"name": "v", "mountPath": "/opt"}]},
            "init": [ENTRY | {"path": "/opt/data"}],
        },
        "in Lighterman's containers it would hide /opt/lighterman",
        "a path of its own",
    ),
    "main's name": (
        {"main": {"name": "My_Main"}},
        "run.container.name: 'My_Main' is no name that Kubernetes takes there",
        "small letters",
    ),
    "a volume's name": (
        {"volumes": [{"name": "V", "emptyDir": {}}]},
        "run.volumes[0].name: 'V' is no name that Kubernetes takes there",
        "small letters",
    ),
    "a namespace's name": (
        {"top": {"namespace": "a.b"}},
        "job.yaml: namespace: 'a.b' is no name that Kubernetes takes there",
        "small letters",
    ),
    "no image": ({"main": {"image": ""}}, "run.container.image: empty", "main's image"),
    "a count below nothing": (
        {"backoffLimit": -1},
        "run.backoffLimit: -1 is too small",
        "from 0 to",
    ),
    "more pods than there can be": (
        {"completions": 2**31},
        "run.completions: 2147483648 is too great",
        "from 0 to",
    ),
    "a limit of each index without indexes": (
        {"backoffLimitPerIndex": 1},
        "run.backoffLimitPerIndex: only an Indexed Job has indexes",
        "run.completions",
    ),
    "a limit of each index of pods that start again": (
        {
            "completions": 2,
            "backoffLimitPerIndex": 1,
            "environment": {"restartPolicy": "OnFailure"},
        },
        "run.backoffLimitPerIndex: goes with run.environment.restartPolicy: Never only",
        "take one of them out",
    ),
    "failed indexes without a limit of each": (
        {"completions": 2, "maxFailedIndexes": 1},
        "run.maxFailedIndexes: stands without backoffLimitPerIndex",
        "run.backoffLimitPerIndex",
    ),
    "a mount that hides inputs": (
        {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "main": {"volumeMounts": [{"name": "v", "mountPath": "/data/train"}]},
        },
        "run.init[0].path: main mounts the volume v at /data/train, which hides that part of /data",
        "at /data itself",
    ),
    "outputs that main can't write": (
        {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "main": {"volumeMounts": [{"name": "v", "mountPath": "/outputs", "readOnly": True}]},
        },
        "run.outputs.path: /outputs lies on the volume v, which main mounts read-only",
        "can write there",
    ),
    "a container called as ours": (
        {"main": {"name": "sidecar"}},
        "run.container.name: sidecar is a container of Lighterman's",
        "call main something else",
    ),
    "a flag that there isn't": (
        {"lighterman": {"sidecar": {"env": {"LIGHTERMAN_DELETS": "mirror"}}}},
        "run.lighterman.sidecar.env.LIGHTERMAN_DELETS: sidecar has no such flag",
        "did you mean LIGHTERMAN_DELETES?",
    ),
    "a flag's value that is none": (
        {"lighterman": {"sidecar": {"env": {"LIGHTERMAN_DELETES": "all"}}}},
        "run.lighterman.sidecar.env: $LIGHTERMAN_DELETES: 'all' is none of keep, mirror",
        "unset it or mend it",
    ),
    "a credential for our own containers": (
        {"lighterman": {"init": {"env": {"AWS_SECRET_ACCESS_KEY": "not-to-be-seen"}}}},
        "run.lighterman.init.env.AWS_SECRET_ACCESS_KEY: a credential in clear",
        "secret: {name: …}",
    ),
    "a flag's name in small letters": (
        {"lighterman": {"sidecar": {"env": {"lighterman_deletes": "mirror"}}}},
        "run.lighterman.sidecar.env.lighterman_deletes: sidecar has no such flag",
        "did you mean LIGHTERMAN_DELETES?",
    ),
    "a flag that the job spec says": (
        {"lighterman": {"sidecar": {"env": {"LIGHTERMAN_GRACE": "60"}}}},
        "run.lighterman.sidecar.env.LIGHTERMAN_GRACE: the job spec and render's own flags say it",
        "take it out here",
    ),
    "another catalog than the manifest's": (
        {"lighterman": {"init": {"env": {"LIGHTERMAN_CATALOG": "/c.yaml"}}}},
        "run.lighterman.init.env.LIGHTERMAN_CATALOG: the job spec and render's own flags say it",
        "take it out here",
    ),
    "a cache that isn't mounted": (
        {"lighterman": {"init": {"env": {"LIGHTERMAN_CACHE": "/cache"}}}},
        "run.lighterman.init.env.LIGHTERMAN_CACHE: the job spec and render's own flags say it",
        "take it out here",
    ),
    "a proxy's password": (
        {"lighterman": {"sidecar": {"env": {"HTTPS_PROXY": "http://me:not-to-be-seen@proxy:1"}}}},
        "run.lighterman.sidecar.env.HTTPS_PROXY: a login in clear",
        "put it into a Kubernetes secret",
    ),
    "a pod's name that all would share": (
        {"lighterman": {"sidecar": {"env": {"POD_NAME": "train-0"}}}},
        "run.lighterman.sidecar.env.POD_NAME: the job spec and render's own flags say it",
        "take it out here",
    ),
    "a variable's name that is none": (
        {"lighterman": {"init": {"env": {"A B": "x"}}}},
        "run.lighterman.init.env['A B']: no name of a variable",
        "letters, digits",
    ),
    "a limit said twice": (
        {"backoffLimit": 1, "top": {"termination": {"maxRetries": 2}}},
        "termination.maxRetries: stands beside run.backoffLimit",
        "keep one",
    ),
}


@pytest.mark.parametrize(("members", "said", "mend"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_job_spec_is_refused_by_name(render, members, said, mend):
    """One line that says what, where and how to mend it; 78; and nothing of a manifest."""
    rendered = render(**members)
    assert (78, "") == (rendered.code, rendered.text), rendered.log
    assert said in rendered.failure["error"]
    assert mend in rendered.failure["hint"]
    assert "not-to-be-seen" not in rendered.log


USAGE = {
    "main's end of a native sidecar": (("--done-file", "/outputs/.done"), "for --no-native"),
    "a process of a native sidecar": (("--watch-process", "python"), "for --no-native"),
    "two ends of main": (
        ("--no-native", "--watch-process", "python", "--done-file", "/outputs/x"),
        "two ends of main",
    ),
    "a done-file that is hidden": (
        ("--no-native", "--done-file", "/tmp/done"),
        "no file that the sidecar could see",
    ),
    "a done-file that only seems to be seen": (
        ("--no-native", "--done-file", "/outputs/../done"),
        "no file that the sidecar could see",
    ),
    "a done-file that is the outputs": (
        ("--no-native", "--done-file", "/outputs/"),
        "no file that the sidecar could see",
    ),
    "a process's number": (("--no-native", "--watch-process", "7"), "nobody knows main's number"),
    "another user than the spec's": (("--run-as", "7"), "are two users"),
    "no user": (("--run-as", "me"), "neither UID nor UID:GID"),
    "a user that is too great": (("--run-as", "2147483648"), "neither UID nor UID:GID"),
    "no size": (("--size-limit", "much"), "is no size as Kubernetes writes it"),
    "no version": (("--validate", "--kubernetes", "new"), "is no version of Kubernetes"),
    "a version that nobody knows": (("--validate", "--kubernetes", "9.9"), "has no schemas of it"),
    "a version for nothing": (("--kubernetes", "1.30"), "without --validate"),
    "an unknown flag": (("--nativ",), "there is no flag --nativ"),
}


@pytest.mark.parametrize(("flags", "said"), USAGE.values(), ids=USAGE)
def test_a_wrong_command_line_is_refused(render, flags, said):
    """64, with the flag and its mend, and nothing of a manifest."""
    rendered = render(*flags)
    assert (64, "") == (rendered.code, rendered.text), rendered.log
    assert said in rendered.failure["error"]
    assert rendered.failure["hint"]


def test_mains_process_must_have_a_name(render):
    """An ordinary sidecar needs main's end: where the command is the image's own, it is asked for."""
    rendered = render("--no-native", main={"command": ABSENT})
    assert (78, "") == (rendered.code, rendered.text)
    assert (
        "run.container.command: what main's process is called isn't known"
        in (rendered.failure["error"])
    )
    assert "--done-file PATH" in rendered.failure["hint"]


@pytest.mark.parametrize("command", ["-x", "/opt/7", "$(PYTHON)", "a\tb"])
def test_a_command_that_names_no_process_is_refused(render, command):
    """What the kubelet fills in, a number, or no name at all: the sidecar would wait for another, or for ever."""
    rendered = render("--no-native", main={"command": [command]})
    assert (78, "") == (rendered.code, rendered.text)
    assert "is no name that main's process goes by" in rendered.failure["error"]
    assert "--watch-process NAME" in rendered.failure["hint"]


def test_an_ordinary_sidecar_doesnt_watch_a_nodes_processes(render):
    """`hostPID` and a shared namespace exclude each other, and a name would be another's there."""
    rendered = render("--no-native", environment={"hostPID": True})
    assert (78, "") == (rendered.code, rendered.text)
    assert "run.environment.hostPID: the sidecar would look for main" in rendered.failure["error"]
    assert (
        0 == render("--no-native", "--done-file", "/outputs/x", environment={"hostPID": True}).code
    )


def test_a_main_that_is_started_again_outlives_its_process(render):
    """An ordinary sidecar would end with the first one: it is refused, unless main itself says when it is done."""
    environment = {"restartPolicy": "OnFailure"}
    rendered = render("--no-native", environment=environment)
    assert (78, "") == (rendered.code, rendered.text)
    assert (
        "run.environment.restartPolicy: main would be started again" in (rendered.failure["error"])
    )
    assert "--done-file" in rendered.failure["hint"]
    assert 0 == render("--no-native", "--done-file", "/outputs/.d", environment=environment).code


def test_a_failure_policy_needs_pods_that_are_replaced(render):
    """Kubernetes takes one with `restartPolicy: Never` only."""
    rendered = render("--failure-policy", environment={"restartPolicy": "OnFailure"})
    assert (78, "") == (rendered.code, rendered.text)
    assert (
        "run.environment.restartPolicy: a failure policy needs Never" in (rendered.failure["error"])
    )


def test_a_spec_that_isnt_there_is_named(tmp_path):
    """As any document that can't be read."""
    done = Program(tmp_path, {}).run("render", "nowhere.yaml")
    assert (78, "") == (done.code, done.stdout)
    assert "nowhere.yaml: there is no such job spec" in done.event("render.failed")["error"]
