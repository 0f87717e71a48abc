"""What docs/things.md and docs/apps.md show is Python that works."""

import builtins
import re
from pathlib import Path

import pytest

from plait.testing import connected, running_hub, served

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)


async def test_the_heater_of_the_docs(tmp_path):
    thing, *others = blocks("things.md")
    (test,) = (block for block in others if "test_a_write_is_rounded" in block)
    scope: dict = {"__name__": "heater"}
    exec(thing, scope)
    heater = scope["Heater"]("urn:dev:heater")
    async with running_hub(tmp_path) as hub, served(heater, hub=hub), connected(hub) as home:
        proxy = home.thing("urn:dev:heater")
        assert await proxy.invoke("boost", minutes=1) is None
        assert heater.on is True
        assert proxy.properties["mode"]["enum"] == ["comfort", "eco", "away"]
    exec(test, scope)
    await scope["test_a_write_is_rounded"](tmp_path / "second")


@pytest.mark.parametrize("block", blocks("apps.md"))
def test_the_programs_of_the_docs_can_be_read(block):
    compile(block, "apps.md", "exec")


@pytest.mark.parametrize("name", ["things.md", "apps.md"])
def test_what_the_docs_name_exists(name):
    from plait import app, thing
    from plait.app.call import Call
    from plait.thing.call import Call as Incoming
    from plait.wire import errors

    text = (DOCS / name).read_text(encoding="utf-8")
    owners = {
        "home": app.Home,
        "thing": app.ThingProxy if name == "apps.md" else thing.Thing,
        "call": Call if name == "apps.md" else Incoming,
    }
    attributes = {"on_lost", "on_state", "on_bye", "on_call"}  # set on instances
    for owner, member in re.findall(r"`(?:await |async for change in )?(home|thing|call)\.(\w+)", text):
        assert hasattr(owners[owner], member) or member in attributes, f"{owner}.{member}"
    listed = re.search(r"What goes wrong is a typed error.*?\n\n", text, re.DOTALL)
    for error in re.findall(r"`([A-Z]\w+)`", listed.group()) if listed else ():
        known = getattr(errors, error, None) or getattr(builtins, error)
        assert issubclass(known, Exception)
