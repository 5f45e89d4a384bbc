"""Buckets of an S3 server in this process (moto), for tests. All traffic stays on 127.0.0.1."""

import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_NUMBERS = itertools.count()


class Bucket(NamedTuple):
    """An empty bucket, which `pyarrow.fs` and boto3 reach with the present environment."""

    url: str  # s3://name
    name: str
    endpoint: str  # http://127.0.0.1:port
    client: Any  # of boto3: looks at objects, and damages them, without jaxreg

    def keys(self, folder: str = "") -> list[str]:
        """The keys of all objects below a folder."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=folder
        )
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)


def access_to(endpoint: str, folder: Path) -> dict[str, str]:
    """The environment in which `s3://` means this endpoint, and nothing else is asked or read.

    Args:
        endpoint: as `http://127.0.0.1:5000`.
        folder: has no files of AWS, so no profile of the user counts.
    """
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
    }


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Have exactly these variables of AWS for a while, also in processes that are started."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

    def exchange(new: Mapping[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(new)

    exchange(values)
    try:
        yield
    finally:
        exchange(before)


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server in a thread; gives its endpoint. Its buckets are lost at the end."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # else it prints each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
        assert server._server is not None
        server._server.server_close()


def new_bucket(endpoint: str) -> Bucket:
    """An empty bucket of a server; the environment must give access to it."""
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint)
    name = f"bucket-{next(_NUMBERS)}"
    client.create_bucket(Bucket=name)
    return Bucket(f"s3://{name}", name, endpoint, client)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The endpoint of a server that all tests of a process share."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str, tmp_path: Path) -> Iterator[Bucket]:
    """An empty bucket; `s3://` means its server until the end of the test.

    For a fixture of a module: `with environment(access_to(s3_endpoint, folder)):
    made = new_bucket(s3_endpoint)`.
    """
    with environment(access_to(s3_endpoint, tmp_path)):
        made = new_bucket(s3_endpoint)
        yield made
        made.client.close()
