"""What `tools/setup` says where something is missing: what, how to get it, and what works without it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / "tools" / "setup"
BASICS = ("bash", "awk", "cat", "dirname", "env", "head", "mktemp", "printf", "rm", "sort", "tr")


@pytest.fixture
def machine(tmp_path):
    """A tree with nothing but `tools/setup`, and a PATH with nothing but what a shell script needs."""
    path = tmp_path / "bin"
    path.mkdir()
    (tmp_path / "tools").mkdir()
    shutil.copy(SETUP, tmp_path / "tools" / "setup")
    for name in BASICS:
        (path / name).symlink_to(shutil.which(name))

    def has(name, script):
        (path / name).write_text(f"#!/bin/sh\n{script}\n")
        (path / name).chmod(0o755)

    def setup(step, **environment):
        done = subprocess.run(
            [tmp_path / "tools" / "setup", step],
            env={"PATH": str(path), **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stderr

    setup.has = has
    return setup


@pytest.mark.parametrize("cargo", [None, "cargo 1.70.0 (ec8a8a0ca 2023-04-25)"])
def test_no_rust_or_an_old_one(machine, cargo):
    if cargo is not None:
        machine.has("cargo", f"echo '{cargo}'")
    code, said = machine("engine")
    assert code == 1
    assert "Rust 1.89 or newer is missing (rustup.rs, or put a wheel" in said
    assert "things and apps over WebSocket do" in said
    assert len(said.splitlines()) == 1
    assert machine("has-rust")[0] == 1


@pytest.mark.parametrize("node", [None, "v18.19.0"])
def test_no_node_or_an_old_one_leaves_the_page_out_but_not_quietly_in_ci(machine, node):
    if node is not None:
        machine.has("node", f"echo {node}")
        machine.has("npm", "exit 1")
    code, said = machine("page")
    assert code == 0
    assert "Node 20.19 or newer is missing (nodejs.org); without it the hub has no page" in said
    assert machine("page", CI="true")[0] == 1


def test_no_python(machine):
    machine.has("python3", "exit 1")
    code, said = machine("python")
    assert code == 1
    assert "Python 3.11 or newer is missing (apt install python3 python3-venv)" in said


def test_debian_packages_are_named_where_they_may_not_be_installed(machine):
    machine.has("id", "echo 1000")
    machine.has("turnserver", "exit 0")
    code, said = machine("system")
    assert code == 0
    assert "as root: apt install chromium" in said
    assert "coturn " not in said.partition(";")[0]
    assert "without Chromium there are no browser tests" in said
    assert machine("system", CI="true")[0] == 1


def test_they_are_installed_where_they_may_be_and_what_apt_says_is_shown_where_it_fails(machine, tmp_path):
    machine.has("id", "echo 0")
    machine.has("apt-get", f'echo "apt-get $*" >>{tmp_path}/asked')
    code, said = machine("system")
    assert code == 0
    assert said.startswith("  Debian packages: chromium coturn")
    assert "install -y -qq chromium coturn" in (tmp_path / "asked").read_text()
    machine.has("apt-get", 'echo "E: no network"; exit 100')
    code, said = machine("system")
    assert "E: no network" in said
    assert machine("system", CI="true")[0] != 0


@pytest.mark.parametrize("go", [None, 'echo "go: no network" >&2; exit 1'])
def test_pebble_is_debians_where_go_cannot_build_it(machine, tmp_path, go):
    if go is not None:
        machine.has("go", go)
    machine.has("id", "echo 1000")
    code, said = machine("pebble")
    assert code == 0
    assert "go.dev/dl; or, as root: apt install pebble); without it no tests of ACME" in said
    assert ("go: no network" in said) == (go is not None)
    assert machine("pebble", CI="true")[0] == 1
    machine.has("id", "echo 0")
    machine.has("apt-get", f'echo "apt-get $*" >>{tmp_path}/asked')
    assert machine("pebble")[0] == 0
    assert "install -y -qq pebble" in (tmp_path / "asked").read_text()


def test_an_unknown_step(machine):
    code, said = machine("everything")
    assert code == 2
    assert "usage: tools/setup python|system" in said
