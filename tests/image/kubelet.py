"""
A small kubelet: plays a pod of a manifest with podman's containers, by the rules of Kubernetes 1.29 and
newer, native sidecars included (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/).

What differs from a real one, and can't matter to what is tested: pods are in the host's network, since the
servers listen on its loopback; images aren't pulled; a back-off between restarts is short; limits are
those of memory only. Whatever else a manifest says is done or refused (see ``kubelet_documents``).
"""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import kubelet_containers as containers
import kubelet_rules as rules
from kubelet_documents import Container, InitContainer, ManifestError, Probe
from kubelet_manifest import Manifest
from kubelet_rules import Status
from kubelet_volumes import Volumes
from pods import podman

BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 0.2, 6.0
"""A kubelet waits 10 s, and twice as long each time, up to 300 s: 50 times as long."""
LOG_TAIL_CHARACTERS = 3000
"""Of each container, in the account of what happened."""
DEADLINE_SECONDS = 120.0
PAUSE = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nwhile True: signal.pause()"
"""PID 1 of a shared process namespace; children that it ignores leave no zombies."""


class Happening(NamedTuple):
    """One line of what the kubelet did, or saw."""

    seconds: float
    """Since the pod began."""
    what: str
    """``started``, ``passed``, ``failed probe``, ``ended``, ``pre-stop``, ``told`` (SIGTERM)."""
    container: str
    detail: int | None = None
    """Of ``ended`` the exit code, of ``told`` the seconds until SIGKILL, of ``pre-stop`` its code."""


@dataclass
class Instance:
    """One container that was started for a name of the pod; a restart is another one."""

    name: str
    container: str
    noted: Path
    """Behind its termination log."""
    status: Status = field(default_factory=lambda: Status(running=True))
    gone: threading.Event = field(default_factory=threading.Event)


class PlayedPod:
    """
    One pod, from its start to its end. ``directory`` (empty) holds its volumes; ``index`` is that of an Indexed
    Job's pod; ``claims`` are the directories behind PersistentVolumeClaims.
    """

    def __init__(
        self,
        documents: str | list[dict[str, Any]],
        directory: Path,
        images: Mapping[str, str],
        *,
        index: int | None = None,
        claims: Mapping[str, Path] | None = None,
    ) -> None:
        self.manifest = Manifest(documents)
        if (index is not None) != self.manifest.is_indexed:
            raise ManifestError("pods of an Indexed Job have an index, others have none")
        self.spec = self.manifest.pod
        self.fields = self.manifest.fields(index)
        self.name = f"{self.fields['metadata.name']}-{uuid.uuid4().hex[:8]}"
        self.happenings: list[Happening] = []
        self.instances: list[Instance] = []
        self._index = index
        self._images = images
        self._directory = directory
        self._changed = threading.Condition()
        self._statuses: dict[str, Status] = {}
        self._not_before: dict[str, float] = {}
        self._grace_asked: int | None = None
        self._trouble: BaseException | None = None
        self._pause: str | None = None
        self._loop: threading.Thread | None = None
        self._began = time.monotonic()
        self._ended = threading.Event()
        directory.mkdir(exist_ok=True)
        self.volumes = Volumes(
            directory / "volumes",
            self.spec,
            self.manifest.config_maps,
            self.manifest.secrets,
            claims or {},
        )

    # What a test does and asks.

    def start(self) -> "PlayedPod":
        self._loop = self._in_background(self._live)
        return self

    def wait_for(self, what: str, container: str, count: int = 1) -> Happening:
        """Wait until that has happened so often."""

        def seen() -> list[Happening]:
            return [
                one for one in self.happenings if (one.what, one.container) == (what, container)
            ]

        with self._changed:
            self._changed.wait_for(
                lambda: len(seen()) >= count or self._ended.is_set() or self._trouble,
                DEADLINE_SECONDS,
            )
            self._reraise()
            assert len(seen()) >= count, f"{container} never {what}:\n{self.account()}"
            return seen()[count - 1]

    def delete(self, grace_seconds: int | None = None) -> str:
        """As ``kubectl delete pod``: stops it within the grace (the pod's own, if none is given)."""
        with self._changed:
            own = self.spec.termination_grace_period_seconds
            self._grace_asked = own if grace_seconds is None else grace_seconds
            self._note("deleted", "pod")
        return self.finish()

    def finish(self) -> str:
        """Wait until the pod has ended; its phase."""
        if not self._ended.wait(DEADLINE_SECONDS):
            raise AssertionError(f"the pod didn't end:\n{self.account()}")
        self._reraise()
        return rules.phase(self.spec, self._statuses, ended=True)

    def kill(self, container: str) -> None:
        """SIGKILL, as an out-of-memory kill does it."""
        podman("kill", "--signal=KILL", self._last(container).name)

    def execute(self, container: str, *command: str) -> tuple[int, str]:
        return containers.execute(self._last(container).name, list(command), DEADLINE_SECONDS)

    def log(self, container: str) -> str:
        """What all instances of that container printed."""
        return "".join(
            containers.log(one.name) for one in self.instances if one.container == container
        )

    def code(self, container: str) -> int | None:
        """The last instance's exit code."""
        return self._last(container).status.code

    def codes(self) -> dict[str, int]:
        last = {one.container: one.status.code for one in self.instances}
        return {name: code for name, code in last.items() if code is not None}

    def message(self, container: str) -> str:
        """The last instance's termination message."""
        last, spec = self._last(container), self._spec(container)
        noted = last.noted.read_bytes()
        return rules.termination_message(
            spec, noted, containers.log(last.name), last.status.code or 0
        )

    def order(self, *whats: str) -> list[str]:
        """What happened, of these kinds, in its order: ``started init``, ``ended init 0`` …"""
        return [
            f"{one.what} {one.container}{'' if one.detail is None else f' {one.detail}'}"
            for one in self.happenings
            if one.what in whats
        ]

    def told(self) -> str:
        """All that left its containers: logs and termination messages."""
        return "".join(containers.log(one.name) + one.noted.read_text() for one in self.instances)

    def account(self) -> str:
        """Everything that happened, and the end of every log: for a failing test."""
        lines = [
            f"{one.seconds:7.2f} {one.what} {one.container} {one.detail}" for one in self.happenings
        ]
        for instance in self.instances:
            lines += [f"--- {instance.name}", containers.log(instance.name)[-LOG_TAIL_CHARACTERS:]]
        return "\n".join(lines)

    def remove(self) -> None:
        """Nothing of it stays on this machine but its directory."""
        with self._changed:
            self._trouble = self._trouble or ManifestError("removed before its end")
            self._changed.notify_all()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            names = [one.name for one in self.instances]
            for group in (names, [self._pause] if self._pause else []):
                if group:  # the pause last: the others depend on it
                    podman("rm", "--force", "--time", "0", "--ignore", *group, check=False)
            if self._loop is None or self._ended.is_set() or time.monotonic() > deadline:
                break
            self._ended.wait(0.5)
        self.volumes.remove()

    # The loop: one thread decides, others wait for containers and probes.

    def _live(self) -> None:
        try:
            if self.spec.share_process_namespace:
                self._start_pause()
            while True:
                with self._changed:
                    step = self._next()
                if step.ends:
                    break
                for name in step.start:
                    self._start(name)
            grace = self._grace_asked
            self._stop_all(self.spec.termination_grace_period_seconds if grace is None else grace)
        finally:
            self._ended.set()
            with self._changed:
                self._changed.notify_all()

    def _next(self) -> rules.Step:
        """The next step, once there is one. A deleted pod ends; nothing of it is started any more."""
        while True:
            self._reraise()
            if self._grace_asked is not None:
                return rules.Step(ends=True)
            step = rules.next_step(self.spec, self._statuses)
            now = time.monotonic()
            due = [name for name in step.start if self._not_before.get(name, 0.0) <= now]
            if step.ends or due:
                return rules.Step(tuple(due), ends=step.ends)
            waits = [self._not_before[name] - now for name in step.start]
            self._changed.wait(min(waits, default=None))

    def _start(self, name: str) -> None:
        spec = self._spec(name)
        number = sum(one.container == name for one in self.instances)
        noted = self._directory / f"termination-{name}-{number}"
        noted.touch()
        noted.chmod(0o666)
        environment = rules.environment(
            spec, self.fields, self.manifest.config_maps, self.manifest.secrets
        )
        if self._index is not None:
            environment.setdefault("JOB_COMPLETION_INDEX", str(self._index))
        around = containers.Surroundings(
            self.spec, self.volumes, self._images, environment, self._pause
        )
        options = containers.run_options(spec, around, noted)
        probe = spec.startup_probe if isinstance(spec, InitContainer) else None
        instance = Instance(f"{self.name}-{name}-{number}", name, noted)
        instance.status = Status(running=True, passed=probe is None)
        self.instances.append(instance)
        podman("run", "--detach", f"--name={instance.name}", *options)
        with self._changed:
            self._set(instance, instance.status)
            self._note("started", name)
        self._in_background(lambda: self._watch(instance))
        if probe is not None:
            self._in_background(lambda: self._probe(instance, probe))
        if spec.lifecycle is not None and spec.lifecycle.post_start is not None:
            self._post_start(instance, spec.lifecycle.post_start.exec.command)

    def _post_start(self, instance: Instance, command: list[str]) -> None:
        """
        ``startContainer`` of kuberuntime runs it before it starts the next container, and stops the container
        whose hook fails.
        """
        code, _ = containers.execute(instance.name, command, DEADLINE_SECONDS)
        with self._changed:
            self._note("hooked", instance.container, code)
        if code != 0:
            self._stop(instance, self.spec.termination_grace_period_seconds, ())

    def _watch(self, instance: Instance) -> None:
        code = containers.wait(instance.name)
        with self._changed:
            probed = isinstance(spec := self._spec(instance.container), InitContainer)
            if probed and spec.startup_probe and not instance.status.passed:
                self._refuse_to_guess(instance)
            times = sum(one.container == instance.container for one in self.instances)
            pause = min(BACK_OFF_SECONDS * 2 ** (times - 1), LONGEST_BACK_OFF_SECONDS)
            self._not_before[instance.container] = time.monotonic() + pause
            self._set(instance, replace(instance.status, running=False, code=code))
            self._note("ended", instance.container, code)
        instance.gone.set()

    def _refuse_to_guess(self, instance: Instance) -> None:
        """
        A sidecar that ends before its startup probe passed can block a pod that never restarts for good, until
        Kubernetes 1.33.6 and 1.34.2 (https://github.com/kubernetes/kubernetes/issues/132826).
        """
        if self.spec.restart_policy == "Never" and self._grace_asked is None:
            self._trouble = AssertionError(
                f"{instance.container} ended before its startup probe passed:\n{self.account()}"
            )

    def _probe(self, instance: Instance, probe: Probe) -> None:
        """
        Every ``periodSeconds`` until it passes; after ``failureThreshold`` failures in a row the container is
        stopped, and started again (pkg/kubelet/prober/worker.go).
        """
        failures = 0
        pause = probe.initial_delay_seconds
        while not instance.gone.wait(pause):
            code, _ = containers.execute(
                instance.name, probe.exec.command, probe.timeout_seconds or 1
            )
            with self._changed:
                if not instance.status.running:
                    return
                if code == 0:
                    self._set(instance, replace(instance.status, passed=True))
                    self._note("passed", instance.container)
                    return
                self._note("failed probe", instance.container, code)
            failures += 1
            if failures >= probe.failure_threshold:
                self._stop(instance, self.spec.termination_grace_period_seconds, ())
                return
            pause = probe.period_seconds

    # The end.

    def _stop_all(self, grace_seconds: int) -> None:
        """``killContainersWithSyncResult`` of kuberuntime: all at once, each in its turn."""
        alive = {one.container: one for one in self.instances if not one.gone.is_set()}
        waits = rules.waits_for(self.spec, alive)
        threads = [
            self._in_background(
                lambda one=one: self._stop(
                    one, grace_seconds, [alive[name] for name in waits[one.container]]
                )
            )
            for one in alive.values()
        ]
        for thread in threads:
            thread.join()
        for one in alive.values():
            one.gone.wait(DEADLINE_SECONDS)

    def _stop(self, instance: Instance, grace_seconds: int, before: "Any") -> None:
        """
        ``killContainer`` of kuberuntime: preStop at once, within the grace; then its turn; then SIGTERM with what
        is left, at least 2 s; then SIGKILL.
        """
        left = grace_seconds
        hook = self._spec(instance.container).lifecycle
        if hook is not None and hook.pre_stop is not None and left > 0:
            command = hook.pre_stop.exec.command
            left = rules.grace_left(
                left,
                self._timed(lambda: self._pre_stop(instance, command, left)),
            )
        if left > 0:
            deadline = time.monotonic() + left
            left = rules.grace_left(
                left,
                self._timed(
                    lambda: [one.gone.wait(max(0.0, deadline - time.monotonic())) for one in before]
                ),
            )
        grace = rules.grace_of_stop(left)
        with self._changed:
            self._note("told", instance.container, grace)
        podman("stop", f"--time={grace}", instance.name)

    def _pre_stop(self, instance: Instance, command: list[str], seconds: int) -> None:
        code, _ = containers.execute(instance.name, command, seconds)
        with self._changed:
            self._note("pre-stop", instance.container, code)

    # Small things.

    @staticmethod
    def _timed(do: Callable[[], object]) -> float:
        began = time.monotonic()
        do()
        return time.monotonic() - began

    def _start_pause(self) -> None:
        image = next(iter(self._images.values()))
        self._pause = f"{self.name}-pause"
        podman(
            *("run", "--detach", f"--name={self._pause}", "--network=none", "--pull=never"),
            *("--user=0", "--entrypoint=python", image, "-c", PAUSE),
        )

    def _spec(self, name: str) -> Container:
        everyone = [*self.spec.init_containers, *self.spec.containers]
        return next(one for one in everyone if one.name == name)

    def _last(self, container: str) -> Instance:
        return [one for one in self.instances if one.container == container][-1]

    def _set(self, instance: Instance, status: Status) -> None:
        instance.status = status
        self._statuses[instance.container] = status

    def _note(self, what: str, container: str, detail: int | None = None) -> None:
        seconds = time.monotonic() - self._began
        self.happenings.append(Happening(seconds, what, container, detail))
        self._changed.notify_all()

    def _reraise(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _in_background(self, do: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                do()
            except BaseException as error:  # noqa: BLE001 - the test's thread raises it
                with self._changed:
                    self._trouble = self._trouble or error
                    self._changed.notify_all()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread
