"""The real init against a bucket, with a proxy between where a test wants one."""

import secrets
from pathlib import Path

from program import Program
from servers.faults import is_get, is_listing

MIB = 1024 * 1024


class Pull:
    """``lighterman init`` of one bucket into ``dest``, as a process."""

    def __init__(self, bucket, directory, endpoint=None):
        self.bucket = bucket
        self.uri = f"s3://{bucket.name}"
        self.dest = Path(directory) / "dest"
        secret = secrets.token_urlsafe(30)  # moto takes any
        self.program = Program(
            directory,
            {
                "AWS_ACCESS_KEY_ID": bucket.access_key_id,
                "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_REGION": bucket.region,
                "AWS_ENDPOINT_URL": endpoint or bucket.endpoint,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            [secret],
        )

    def arguments(self, *flags):
        return ("init", "--connection", self.uri, "--to", self.dest, *flags)

    def run(self, *flags, **popen):
        return self.program.run(*self.arguments(*flags), **popen)

    def start(self, *flags, **popen):
        return self.program.start(*self.arguments(*flags), **popen)

    def files(self):
        """Path below the destination to content of what is there under a name of its own."""
        return {
            str(path.relative_to(self.dest)): path.read_bytes()
            for path in sorted(self.dest.rglob("*"))
            if path.is_file()
            and ".lighterman" not in path.relative_to(self.dest).parts
            and path.name not in self.temporaries()
        }

    def temporaries(self):
        """Files on their way that somebody left."""
        return [path.name for path in self.dest.rglob(".lighterman-*.tmp")]


def gets(proxy):
    """Requests for the bytes of objects."""
    return proxy.seen(is_get)


def listings(proxy):
    return proxy.seen(is_listing)
