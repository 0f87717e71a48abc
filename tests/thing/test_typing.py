"""What a type checker sees of a user's thing and app."""

import subprocess
import sys
from pathlib import Path

SOURCE = """
from typing import Annotated, Any, Literal, assert_type
from msgspec import Meta
from plait import app
from plait.app import Change
from plait.thing import Emitter, Thing, action, event, prop

class Lamp(Thing, types=["Light"]):
    on: bool = prop(False, title="Power")
    brightness: Annotated[int, Meta(ge=0, le=100)] = prop(100, unit="percent")
    mode: Literal["warm", "cold"] = prop("warm")
    temperature: float = prop(readonly=True)
    serial: str | None = prop(None)
    count = prop(0)
    overheated = event(float)
    broken = event()

    @action
    async def blink(self, times: int = 3) -> int:
        return times

    @action(title="Go there")
    def move(self, place: str, /) -> bool:
        return bool(place)

async def use(lamp: Lamp) -> None:
    assert_type(lamp.on, bool)
    assert_type(lamp.brightness, int)
    assert_type(lamp.temperature, float)
    assert_type(lamp.serial, str | None)
    assert_type(lamp.count, int)
    assert_type(lamp.overheated, Emitter[float])
    assert_type(await lamp.blink(2), int)
    assert_type(lamp.move("x"), bool)
    lamp.overheated.emit(3.5)
    lamp.broken.emit()
    lamp.on = "yes"  # WRONG
    lamp.overheated.emit("hot")  # WRONG
    await lamp.blink("three")  # WRONG
    lamp.move(3)  # WRONG

class Bad(Thing):
    on: bool = prop("no")  # WRONG

async def main() -> None:
    async with app.connect() as home:
        lamp = home.thing("Lamp")
        assert_type(await lamp.read("on"), Any)
        async for change in lamp.watch():
            assert_type(change, Change)
            change.value = 1  # WRONG
"""


def test_hints_reach_the_type_checker(tmp_path):
    source = tmp_path / "lamp.py"
    source.write_text(SOURCE)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--cache-dir",
            ".mypy_cache",
            str(source),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    wrong = [number for number, line in enumerate(SOURCE.splitlines(), 1) if "# WRONG" in line]
    said = [int(line.split(":")[1]) for line in ran.stdout.splitlines() if ": error: " in line]
    assert said == wrong, ran.stdout
