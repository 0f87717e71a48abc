"""The house keeps its walls: who may import whom, and documents that lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md"), *ROOT.glob("vectors/*.md")]
)


def test_who_may_import_whom():
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_only_rtc_the_door_and_the_relays_touch_native_code():
    """A face for the engine, one for the door, one for TURN; a linter of imports sees no library."""
    package = ROOT / "src" / "plait"
    touching = {
        str(file.relative_to(package).parent / file.stem)
        for file in package.rglob("*.py")
        if re.search(r"plait\._native|from plait import .*_native", file.read_text())
    }
    assert {name for name in touching if not name.startswith("rtc/")} <= {"hub/door", "hub/turn/own_server"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{target} is not there"


def test_the_decisions_are_all_listed():
    decisions = ROOT / "docs" / "decisions"
    listed = (decisions / "README.md").read_text()
    for page in decisions.glob("0*.md"):
        assert page.name in listed


def test_every_package_says_what_it_is():
    for package in (ROOT / "src" / "plait").rglob("__init__.py"):
        assert package.read_text().startswith('"""'), package
