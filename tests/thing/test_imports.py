"""A device needs only the small device part: what `plait.thing` and `plait.app` bring in with them."""

import subprocess
import sys

import pytest

BIG = {
    *("av", "fastapi", "numpy", "pydantic", "rich", "typer"),
    *("plait._native", "plait.hub", "plait.media", "plait.rtc"),
}


@pytest.mark.parametrize("package", ["plait.thing", "plait.app"])
def test_it_brings_in_nothing_big(package):
    source = f"import sys, {package}; print(sorted({BIG} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
