"""Settings: each is documented, and each can be given by environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from plait.cli.hub import app
from plait.hub.contracts import Principal
from plait.hub.metrics import Metrics
from plait.hub.outbox import Traffic
from plait.hub.settings import Settings
from plait.hub.store.credentials import open_credentials

DOCS = (Path(__file__).parents[2] / "docs" / "hub.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_documented(name):
    assert f"`PLAIT_{name.upper()}`" in DOCS


def test_the_docs_name_no_setting_that_is_not_there():
    named = set(re.findall(r"`PLAIT_(\w+)`", DOCS)) - {"HUB", "TOKEN"}
    assert named == {name.upper() for name in Settings.model_fields}


def test_the_docs_name_every_metric():
    for line in Metrics(Traffic()).text().decode().splitlines():
        if line.startswith("# TYPE") and not line.split()[2].endswith("_created"):
            assert f"`{line.split()[2]}`" in DOCS


def test_the_environment_gives_them(monkeypatch, tmp_path):
    monkeypatch.setenv("PLAIT_PORT", "9")
    monkeypatch.setenv("PLAIT_ORIGINS", '["https://home.example"]')
    monkeypatch.setenv("PLAIT_ICE_SERVERS", '[{"urls": "stun:192.0.2.1"}]')
    monkeypatch.setenv("PLAIT_DATA", str(tmp_path))
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert (settings.port, settings.data) == (9, tmp_path)
    assert settings.origins == ["https://home.example"]
    assert settings.ice_servers == [{"urls": "stun:192.0.2.1"}]


@pytest.mark.parametrize("wrong", [{"port": 70_000}, {"window": 0}, {"owner": ""}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)


async def test_a_token_made_beside_a_running_hub_works(hub, settings):
    run = CliRunner().invoke(app, ["token", "urn:dev:lamp", "--data", str(settings.data)])
    assert run.exit_code == 0
    assert hub.store.credentials.by_token(run.stdout.strip()) == Principal("thing", "urn:dev:lamp")
    run = CliRunner().invoke(app, ["user-token", "--data", str(settings.data)])
    assert hub.store.credentials.by_token(run.stdout.strip()) == Principal("user", "owner")
    run = CliRunner().invoke(app, ["login", "https://home.example/", "--data", str(settings.data)])
    address, _, code = run.stdout.strip().partition("/#login=")
    assert address == "https://home.example"
    with open_credentials(settings.data) as credentials:
        assert credentials.log_in(code)[1] == Principal("user", "owner")


@pytest.mark.parametrize(
    "wrong", [["--port", "70000"], ["--tls-cert", "none.pem"], ["--host", "192.0.2.1", "--port", "0"]]
)
def test_what_cannot_be_served_is_one_line_and_code_2(tmp_path, wrong):
    run = CliRunner().invoke(app, ["--data", str(tmp_path), *wrong])
    assert run.exit_code == 2
    assert run.stderr.splitlines()[-1].startswith("plait hub: ")
    assert "Traceback" not in run.stderr
