"""What a wheel promises: stubs that tell the truth about the native module, and licences that allow it."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LICENCES = runpy.run_path(str(ROOT / "tools" / "licences.py"))


def test_the_stub_tells_the_truth_about_the_native_module():
    """Mypy's stubtest imports the module and compares each class, method and parameter with the stub."""
    checked = subprocess.run(
        # Native functions take their arguments by name as well; the stub promises less.
        [sys.executable, "-m", "mypy.stubtest", "plait._native", "--ignore-positional-only"],
        cwd=ROOT,
        env={"MYPYPATH": str(ROOT / "src"), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0 OR MIT", True),
        ("GPL-3.0 AND MIT", False),
        ("(GPL-3.0 OR ISC) AND Apache-2.0", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MPL-2.0", False),
        ("", False),
        ("MIT OR", False),
    ],
)
def test_which_licences_are_allowed(expression, allowed):
    assert LICENCES["is_allowed"](expression) is allowed


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo tells which crates are linked")
def test_every_linked_crate_has_an_allowed_licence_and_a_text():
    crates = LICENCES["linked"]()
    assert LICENCES["refused"](crates) == []
    names = {crate["name"] for crate in crates}
    assert {"str0m", "dimpl", "sctp-proto", "aws-lc-sys", "pyo3"} <= names
    assert "pyo3-macros" not in names
    notices = LICENCES["notices"](crates)
    assert "Permission is hereby granted, free of charge" in notices
    assert all(f"{crate['name']} {crate['version']}: " in notices for crate in crates)
