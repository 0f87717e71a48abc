"""One connection explained: which ways were open to it, which it took, and why not a better one.

Everything here is a pure function of a W3C statistics report (https://www.w3.org/TR/webrtc-stats/), so that a
browser's could be explained as well as the engine's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from plait.doctor.candidates import RUNGS, Candidate, Pair, is_loopback, place, read
from plait.doctor.rungs import Failure, Rung, Seen, rungs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.doctor.candidates import Report


class Explanation(msgspec.Struct, frozen=True, rename="camel"):
    """What there is to say of a connection.

    Attributes:
        summary: in one sentence.
        local, remote: the candidates of this end and of the far one.
        pairs: those that were tried, the chosen one first.
        rungs: each way, from the shortest.
        failures: servers that gave this end nothing.
    """

    summary: str
    local: list[Candidate]
    remote: list[Candidate]
    pairs: list[Pair]
    rungs: list[Rung]
    failures: list[Failure]


def explain(
    report: Report,
    *,
    failures: Sequence[Failure] = (),
    urls: Sequence[str] = (),
    hub: float | None = None,
    over_hub: str = "",
) -> Explanation:
    """Explain a connection.

    Args:
        report: its statistics, empty where none was made.
        failures: servers that gave this end nothing.
        urls: the servers that this end was given.
        hub: seconds to the far end and back through the hub; None where the hub carries nothing.
        over_hub: why the hub carries what is sent now; empty where the connection does.
    """
    candidates, tried = read(report)
    # Between two machines the loopback is of no use, and only in the way of the reader.
    pairs = [
        pair for pair in tried if pair.answered or pair.chosen or not is_loopback(pair.local, pair.remote)
    ]
    same = any(is_loopback(pair.local, pair.remote) for pair in pairs)
    shown = {name: each for name, each in candidates.items() if same or not is_loopback(each)}
    local = [shown[name] for name in shown if report[name]["type"] == "local-candidate"]
    remote = [shown[name] for name in shown if report[name]["type"] == "remote-candidate"]
    seen = Seen(local, remote, pairs, failures, urls)
    ways = rungs(seen, hub, over_hub)
    return Explanation(_summary(seen.chosen, ways, over_hub), local, remote, pairs, ways, list(failures))


def _summary(chosen: Pair | None, ways: Sequence[Rung], over_hub: str) -> str:
    if chosen is None or over_hub:
        why = over_hub or "no pair of candidates works"
        return f"through the hub by WebSocket, since {why}"
    match chosen.rung:
        case "ipv6" | "ipv4":
            return f"{RUNGS[chosen.rung]}: the shortest way that there is"
        case "stun":
            return "direct, through the routers' NATs: nothing is relayed"
        case _:
            side = "this end's" if chosen.local.kind == "relay" else "the far end's"
            direct = [rung for rung in ways[: place("turn/udp")] if rung.state in ("failed", "absent")]
            why = next((f"{RUNGS[rung.name]}: {rung.said}" for rung in reversed(direct)), "")
            return f"relayed by {side} TURN server" + (f", since no direct way works ({why})" if why else "")
