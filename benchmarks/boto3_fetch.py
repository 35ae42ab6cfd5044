"""
A bucket into a directory, as users of boto3 write it: one client, its paginator, and ``download_file`` over a pool of
threads. Usage: ``boto3_fetch.py ENDPOINT BUCKET DIRECTORY``.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

THREADS = 8
MIB = 1 << 20


def main() -> None:
    endpoint, bucket, directory = sys.argv[1:]
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        config=Config(max_pool_connections=64, s3={"addressing_style": "path"}),
    )
    transfer = TransferConfig(
        multipart_threshold=16 * MIB, multipart_chunksize=16 * MIB, max_concurrency=8
    )
    made = set()
    with ThreadPoolExecutor(THREADS) as pool:
        fetches = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                path = os.path.join(directory, item["Key"])
                parent = os.path.dirname(path)
                if parent not in made:
                    os.makedirs(parent, exist_ok=True)
                    made.add(parent)
                fetches.append(
                    pool.submit(client.download_file, bucket, item["Key"], path, Config=transfer)
                )
        for fetch in fetches:
            fetch.result()


if __name__ == "__main__":
    main()
