import asyncio
import concurrent.futures
import threading
from typing import Any

from plait.thing import Thing, event, prop
from plait.thing.state import WAITING, state_of


class Probe(Thing):
    level: int = prop()
    moved = event(str)


def collect(probe: Probe) -> list[tuple[str, dict[str, Any]]]:
    reports: list[tuple[str, dict[str, Any]]] = []

    def sink(operation: str, **members: Any) -> None:
        reports.append((operation, members))

    state_of(probe).attach(asyncio.get_running_loop(), sink)
    return reports


async def test_every_assignment_is_a_report_with_its_time_and_in_order():
    probe = Probe()
    probe.level = 1  # before it is served
    reports = collect(probe)
    probe.level = 2
    probe.moved.emit("left")
    probe.level = 2
    assert [(name, members.get("value", members.get("data"))) for name, members in reports] == [
        ("observeproperty", 1),
        ("observeproperty", 2),
        ("subscribeevent", "left"),
        ("observeproperty", 2),
    ]
    times = [members["timestamp"] for _, members in reports]
    assert times == sorted(times)
    assert all(time.utcoffset() is not None for time in times)


async def test_threads_may_report():
    probe = Probe()
    reports = collect(probe)
    loop = asyncio.get_running_loop()

    def work() -> None:
        for number in range(500):
            probe.level = number

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await loop.run_in_executor(None, thread.join)
    await asyncio.sleep(0)  # what the threads have scheduled runs before us
    values = [members["value"] for _, members in reports]
    assert sorted(values) == sorted([*range(500)] * 3)
    assert values[-1] == probe.level


async def test_reports_wait_for_somebody_to_take_them_and_the_oldest_go():
    probe = Probe()
    for number in range(WAITING + 5):
        probe.level = number
    reports = collect(probe)
    assert len(reports) == WAITING
    assert reports[0][1]["value"] == 5
    state_of(probe).detach()
    probe.level = -1
    assert len(reports) == WAITING
    assert collect(probe)[0][1]["value"] == -1


def test_a_loop_that_has_ended_is_no_harm():
    probe = Probe()

    async def serve() -> None:
        collect(probe)

    asyncio.run(serve())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(setattr, probe, "level", 3).result()
    assert probe.level == 3
