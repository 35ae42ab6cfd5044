"""Which outputs path goes where: what the flags say, and the outputs block of a job spec."""

from argparse import Namespace

from lighterman.errors import ConfigurationError, UsageError
from lighterman.jobspec import Output, load_job_spec


def outputs_of(arguments: Namespace) -> Output:
    """What ``--spec`` says, and the flags, which win. ``UsageError`` where neither says enough."""
    block = _block_of(arguments.spec) if arguments.spec else Output(connection="", path="")
    said = Output(
        connection=_first(arguments.connection, block.connection),
        path=_first(arguments.path, block.path),
        to=_first(arguments.to, block.to),
    )
    for field in ("connection", "path"):
        if not getattr(said, field):
            raise UsageError(
                f"no {field} is given", hint=f"--{field}, or the outputs block of a --spec"
            )
    return said


def _first(flag: str | None, otherwise: str) -> str:
    return otherwise if flag is None else flag


def _block_of(file: str) -> Output:
    """The one outputs block of a spec. ``ConfigurationError`` if there is none, or more than one."""
    outputs = load_job_spec(file).outputs
    if not outputs:
        raise ConfigurationError(
            f"job spec {file} has no outputs block",
            hint="outputs: {connection: NAME, path: DIR, to: PREFIX}",
        )
    if len(outputs) > 1:
        raise ConfigurationError(
            f"job spec {file}: outputs has {len(outputs)} entries; more than one isn't there yet",
            hint="run one sidecar for each",
        )
    return outputs[0]
