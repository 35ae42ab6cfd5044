"""What the tests of the commands write into catalogs, and what they read of answers."""

import json


def entry_of(bucket, name="bucket", prefix="", **options):
    """A connection of the catalog, its login in clear."""
    return {
        "name": name,
        "kind": "s3",
        "schema": {"bucket": f"s3://{bucket.name}/{prefix}".rstrip("/")},
        "env": {
            "AWS_ACCESS_KEY_ID": bucket.access_key_id,
            "AWS_SECRET_ACCESS_KEY": bucket.secret_access_key,
        },
        "options": {"endpoint": bucket.endpoint, "region": bucket.region} | options,
    }


def findings(finished):
    """What was printed, by subject and check; the last line of each counts."""
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    return {(line["subject"], line["check"]): line for line in lines}


def states(finished):
    """The state of each check, by its name."""
    return {check: line["state"] for (_, check), line in findings(finished).items()}
