"""The bucket of the tests is a real one: what pyarrow writes boto3 reads, and the reverse."""

import os
import subprocess
import sys
from pathlib import Path

from pyarrow import fs

from buckets import Bucket, access_to, environment


def test_pyarrow_and_boto3_see_the_same_objects(bucket: Bucket) -> None:
    files, path = fs.FileSystem.from_uri(f"{bucket.url}/folder?region=us-east-1")
    with files.open_output_stream(f"{path}/a") as file:
        file.write(b"by pyarrow")
    bucket.write("folder/b", b"by boto3")
    assert bucket.read("folder/a") == b"by pyarrow"
    with files.open_input_stream(f"{path}/b") as file:
        assert file.read() == b"by boto3"
    assert bucket.keys() == ["folder/a", "folder/b"]


def test_another_process_reaches_it(bucket: Bucket) -> None:
    bucket.write("a", b"1")
    code = "import sys; from pyarrow import fs; f, p = fs.FileSystem.from_uri(sys.argv[1]);"
    code += "print(f.open_input_stream(p + '/a').read())"
    url = f"{bucket.url}?region=us-east-1"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True)
    assert done.stdout == "b'1'\n", done.stderr


def test_the_environment_is_what_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    with environment(access_to("http://127.0.0.1:1", tmp_path)):
        assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert dict(os.environ) == before
