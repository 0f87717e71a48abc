"""`plait camera` as a process: what it says and how it ends."""

import subprocess
import sys

import pytest


def camera(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "plait", "camera", *arguments],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.mp4", None, "no such file"),
        ("notes.mp4", b"This is not a video.\n" * 100, "not a video"),
        ("empty.mp4", b"", "not a video"),
    ],
)
def test_a_file_that_is_no_video_is_one_line_and_code_2(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = camera("--source", str(path), "--token", "x")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith(f"Camera: {path}: ")
    assert says in done.stderr


def test_a_device_that_is_not_there_is_one_line_and_code_2():
    done = camera("--source", "/dev/video77", "--token", "x")
    assert (done.returncode, done.stderr) == (2, "Camera: /dev/video77: no such device\n")


def test_a_bad_id_is_one_line_and_code_2():
    done = camera("--source", "test:", "--id", "no uri", "--token", "x")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
