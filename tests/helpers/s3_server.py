"""A local S3 service (moto), which this process and those that it starts ask instead of Amazon's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SECRET = "never-to-be-printed-41"


@contextmanager
def s3_in_place(monkeypatch: pytest.MonkeyPatch, bucket: str = "bucket") -> Iterator[Any]:
    """Yields s3fs's file system for the service, which has one empty bucket; skips where s3fs or moto is missing."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'selbench[dev]'")
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'selbench[dev]'")
    import fsspec

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "a-name"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ):
            monkeypatch.setenv(name, value)
        files = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
        for old in files.ls("", detail=False):  # moto's buckets live as long as the process
            files.rm(old, recursive=True)
        files.mkdir(bucket)
        yield files
    finally:
        running.stop()
