"""Two ends of a link over paths that break, lose, double and reorder; the model is a list for each channel.

What was sent reliably comes once and in order, whatever the paths do. A value that comes is never older than
one of its key that came before, and in the end the newest has come. A datagram comes at most once.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from plait.wire.errors import Busy
from plait.wire.link import Ended, Fault, Link, Received

ENDS = st.sampled_from((0, 1))
RELIABLE = ("a", "b")
SIZES = st.sampled_from((0, 1, 100, 16_000, 40_000))


class Paths(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.counter = 0
        self.paths = {"hub": True, "direct": False}
        self.path = "hub"
        self.flying: list[tuple[str, int, bytes]] = []  # (path, to, packet)
        self.sent = defaultdict(list)
        self.came = defaultdict(list)
        self.newest: dict[tuple[int, str], int] = {}
        self.shown: dict[tuple[int, str], int] = {}
        self.thrown, self.caught = defaultdict(set), defaultdict(list)
        self.ends = [Link(), Link()]
        for end in self.ends:
            end.rtt = 0.02
            for name in RELIABLE:
                end.open(name, "reliable", priority=100 if name == "a" else 50)
            end.open("values", "latest")
            end.open("datagrams", "datagram")

    # What the programs do

    @rule(end=ENDS, name=st.sampled_from(RELIABLE), size=SIZES)
    def send(self, end, name, size):
        self.counter += 1
        payload = self.counter.to_bytes(4) + bytes(size)
        try:
            self.ends[end].send(name, payload, now=self.now)
        except Busy:
            return
        self.sent[end, name].append(payload)

    @rule(end=ENDS, key=st.sampled_from("kl"))
    def put(self, end, key):
        self.counter += 1
        self.ends[end].send("values", self.counter.to_bytes(4), now=self.now, key=key)
        self.newest[end, key] = self.counter

    @rule(end=ENDS)
    def throw(self, end):
        self.counter += 1
        self.ends[end].send("datagrams", self.counter.to_bytes(4), now=self.now)
        self.thrown[end].add(self.counter)

    # What the paths do

    @rule(end=ENDS, count=st.integers(1, 5))
    def talk(self, end, count):
        """An end gives packets to the path that carries the link, where it is up."""
        if not self.paths[self.path]:
            return
        lanes = ("any",) if self.path == "hub" else ("fast", "sure")
        for _ in range(count):
            for lane in lanes:
                packet = self.ends[end].poll(self.now, lane)
                if packet is not None:
                    self.flying.append((f"{self.path} {lane}", 1 - end, packet))

    @rule(count=st.integers(1, 8))
    def arrive(self, count):
        """Packets arrive: in order on each lane that keeps order, in any order between lanes and paths."""
        for _ in range(count):
            if not self.flying:
                return
            self.take(*self.flying.pop(0)[1:])

    @rule(seed=st.integers(0, 2**16))
    def shuffle(self, seed):
        """Lanes overtake each other, and packets on the fast lane do, too."""
        chance = random.Random(seed)
        order = {
            lane: [each for each in self.flying if each[:2] == lane] for lane in {e[:2] for e in self.flying}
        }
        for lane, packets in order.items():
            if "fast" in lane[0]:
                chance.shuffle(packets)
        self.flying = []
        while order:
            lane = chance.choice(sorted(order))
            self.flying.append(order[lane].pop(0))
            if not order[lane]:
                del order[lane]

    @rule(seed=st.integers(0, 2**16), twice=st.booleans())
    def disturb(self, seed, twice):
        """The fast lane loses; any lane may bring a packet again."""
        chance = random.Random(seed)
        kept = []
        for each in self.flying:
            if "fast" in each[0] and chance.random() < 0.4:
                continue
            kept.append(each)
            if twice and chance.random() < 0.3:
                kept.append(each)
        self.flying = kept

    @rule(name=st.sampled_from(("hub", "direct")))
    def open_path(self, name):
        if not self.paths[name]:
            self.paths[name] = True
            if not self.paths[self.path] or name == self.path:
                self.move(name)

    @rule(name=st.sampled_from(("hub", "direct")), lose=st.booleans())
    def break_path(self, name, lose):
        """A path ends; what was on it is lost, or still comes."""
        self.paths[name] = False
        if lose:
            self.flying = [each for each in self.flying if not each[0].startswith(name)]
        other = "direct" if name == "hub" else "hub"
        if self.path == name and self.paths[other]:
            self.move(other)

    @rule()
    def prefer(self):
        if self.path == "hub" and self.paths["direct"]:
            self.move("direct")

    @rule(seconds=st.sampled_from((0.01, 0.1, 3.0)))
    def wait(self, seconds):
        self.now += seconds

    def move(self, name):
        self.path = name
        for end in self.ends:
            end.moved(self.now)

    # What comes

    def take(self, to, packet):
        for event in self.ends[to].receive(packet):
            assert not isinstance(event, Fault)
            assert not isinstance(event, Ended)
            if not isinstance(event, Received):
                continue
            number = int.from_bytes(event.payload[:4])
            if event.channel in RELIABLE:
                self.came[1 - to, event.channel].append(event.payload)
                self.ends[to].took(event.channel, len(event.payload))
            elif event.channel == "values":
                assert number > self.shown.get((1 - to, event.key), 0), "an older value after a newer one"
                self.shown[1 - to, event.key] = number
            else:
                assert number in self.thrown[1 - to]
                self.caught[1 - to].append(number)

    @invariant()
    def once_and_in_order(self):
        for where, payloads in self.came.items():
            assert payloads == self.sent[where][: len(payloads)]
        for numbers in self.caught.values():
            assert len(numbers) == len(set(numbers))

    def teardown(self):
        """On a path that holds, everything comes in the end."""
        self.paths["hub"] = True
        self.flying = []
        self.move("hub")
        for _ in range(5000):
            quiet = True
            for end in (0, 1):
                while (packet := self.ends[end].poll(self.now, "any")) is not None:
                    quiet = False
                    self.take(1 - end, packet)
            if quiet and all(end.settled for end in self.ends):
                break
            self.now += 0.05
        assert all(end.settled for end in self.ends)
        assert self.came == {where: payloads for where, payloads in self.sent.items() if payloads}
        assert self.shown == self.newest


def run(examples: int) -> None:
    run_state_machine_as_test(
        Paths,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


def run_in_two(examples: int) -> None:
    """Half of them each in two processes, whose seeds differ: nearly all of it is Hypothesis's CPU."""
    half = [sys.executable, "-W", "error", __file__, str(examples // 2)]
    halves = [subprocess.Popen(half, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    try:
        for one in halves:
            told, _ = one.communicate()
            assert one.returncode == 0, told.decode()
    finally:
        for one in halves:
            one.kill()
            one.wait()
            one.stdout.close()


@pytest.mark.timeout(900)
def test_nothing_is_lost_doubled_or_out_of_order():
    run_in_two(10_000)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_nothing_is_lost_doubled_or_out_of_order_200_000_times():
    run_in_two(200_000)


if __name__ == "__main__":
    run(int(sys.argv[1]))
