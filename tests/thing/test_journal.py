"""An action is done once, or said to be unknown: whatever is killed, wherever it was."""

import asyncio
import os
import random
import signal
import sys

import pytest

from plait.thing import Thing, action
from plait.thing.answers import Answers
from plait.thing.kept.file import StateFile
from plait.thing.kept.journal import KEPT, Journal
from plait.wire.errors import Busy
from plait.wire.messages import INVOKE_ACTION, Message

DEVICE = """
import asyncio, os, sys
from pathlib import Path
from plait.thing import Thing, action
from plait.thing.answers import Answers
from plait.thing.kept.journal import Journal
from plait.thing.kept.file import StateFile
from plait.wire.messages import INVOKE_ACTION, Message

class Door(Thing):
    @action
    async def unlock(self) -> str:
        with open(sys.argv[2], "a") as done:
            done.write(key + "\\n")
        await asyncio.sleep(0.002)
        return key

def tell(what):  # in one write: a kill leaves the line whole or not at all
    os.write(1, f"{key} {what}\\n".encode())

async def main():
    global key
    answers = Answers(Door("urn:dev:door"))
    answers.journal = Journal(StateFile(Path(sys.argv[1])))
    for line in sys.stdin:
        key = line.strip()
        tell("asked")
        asked = Message(message_type="request", operation=INVOKE_ACTION, name="unlock", message_id=key)
        tell((await answers.answer(asked)).get("output"))

asyncio.run(main())
"""


class Door(Thing):
    def __init__(self):
        super().__init__("urn:dev:door")
        self.opened = 0

    @action
    async def unlock(self) -> int:
        self.opened += 1
        return self.opened

    @action(idempotent=True)
    async def close(self) -> int:
        self.opened += 1
        return self.opened

    @action
    async def jam(self) -> None:
        self.opened += 1
        raise RuntimeError("jammed")


def ask(name, key):
    return Message(message_type="request", operation=INVOKE_ACTION, name=name, message_id=key)


def answers_of(door, file):
    answers = Answers(door)
    answers.journal = Journal(file)
    return answers


async def test_a_repeat_after_a_restart_gets_the_stored_answer(tmp_path):
    door = Door()
    file = StateFile(tmp_path / "state.db")
    assert await answers_of(door, file).answer(ask("unlock", "a")) == {"output": 1}
    failed = await answers_of(door, file).answer(ask("jam", "b"))
    assert failed["error"].detail == "jammed"
    await file.close()
    file = StateFile(tmp_path / "state.db")
    again = answers_of(door, file)
    assert await again.answer(ask("unlock", "a")) == {"output": 1}
    assert await again.answer(ask("jam", "b")) == failed
    assert door.opened == 2
    assert await again.answer(ask("unlock", "c")) == {"output": 3}
    await file.close()


async def test_what_was_begun_and_not_ended_is_unknown_and_not_done_again(tmp_path):
    door = Door()
    file = StateFile(tmp_path / "state.db")
    await file.do(lambda db: db.execute("INSERT INTO actions (message) VALUES ('a')"))
    said = await answers_of(door, file).answer(ask("unlock", "a"))
    assert said["error"].type == "urn:plait:problem:outcome-unknown"
    assert door.opened == 0
    await file.close()


async def test_an_idempotent_action_is_not_journaled(tmp_path):
    file = StateFile(tmp_path / "state.db")
    assert await answers_of(Door(), file).answer(ask("close", "a")) == {"output": 1}
    assert await file.do(lambda db: db.execute("SELECT count(*) FROM actions").fetchone()) == (0,)
    await file.close()


async def test_what_cannot_be_journaled_is_not_begun(tmp_path):
    door = Door()
    file = StateFile(tmp_path / "state.db")
    await file.do(lambda db: db.execute("DROP TABLE actions"))
    said = await answers_of(door, file).answer(ask("unlock", "a"))
    assert said["error"].type == "urn:plait:problem:action-failed"
    assert "no such table" in said["error"].detail
    assert door.opened == 0
    await file.close()


async def test_the_journal_is_bounded(tmp_path):
    file = StateFile(tmp_path / "state.db")
    journal = Journal(file)

    async def nothing():
        return None

    await file.do(
        lambda db: db.executemany(
            "INSERT INTO actions (message) VALUES (?)", ((str(n),) for n in range(KEPT))
        )
    )
    await journal.once("one more", nothing)
    assert await file.do(lambda db: db.execute("SELECT count(*) FROM actions").fetchone()) == (KEPT,)
    await file.close()


async def test_a_folder_is_one_process_s(tmp_path):
    file = StateFile(tmp_path / "state.db")
    with pytest.raises(Busy, match="Another process has"):
        StateFile(tmp_path / "state.db")
    await file.close()


async def test_a_broken_file_is_put_aside(tmp_path, caplog):
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database" * 1000)
    file = StateFile(path)
    assert "put aside" in caplog.text
    assert path.with_suffix(".broken").read_bytes().startswith(b"this is no")
    await file.close()


async def killed(tmp_path, rounds):
    """Kill a device at random points of its actions, ask again; return what was done, and what was told."""
    script, done = tmp_path / "door.py", tmp_path / "done"
    script.write_text(DEVICE)
    done.touch()
    chance = random.Random(rounds)
    told: dict[str, list[str]] = {}
    for number in range(rounds):
        wait = chance.uniform(0, 0.006)
        for again in range(2):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(script), str(tmp_path / "state.db"), str(done)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ,
            )
            key = f"key{number}"
            process.stdin.write(f"{key}\n".encode())
            assert await process.stdout.readline() == f"{key} asked\n".encode()
            if again:
                told.setdefault(key, []).append((await process.stdout.readline()).split()[1].decode())
                process.stdin.close()
            else:
                await asyncio.sleep(wait)
                process.send_signal(signal.SIGKILL)
                rest = await process.stdout.read()
                told[key] = [line.split()[1].decode() for line in rest.splitlines()]
            await process.wait()
    return done.read_text().split(), told


def check(done, told):
    assert len(done) == len(set(done)), "an action was done twice"
    for key, answers in told.items():
        last = answers[-1]
        assert last in (key, "None")  # its result, or a problem: outcome-unknown
        if last == key:
            assert key in done
        if answers[0] == key:
            assert last == key, "told once, and unknown the second time"


async def test_killed_at_any_point_it_is_done_once_or_unknown(tmp_path):
    check(*await killed(tmp_path, 3))


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_killed_at_many_points_it_is_done_once_or_unknown(tmp_path):
    check(*await killed(tmp_path, 50))
