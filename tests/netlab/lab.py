"""A lab of networks: places in network namespaces, each behind a NAT of its kind, joined by a public segment.

    with Lab() as lab:
        hub = lab.place("hub")
        device = lab.place("device", nat="symmetric")
        process = await device.start(sys.executable, "program.py")

A namespace lives as long as the process that holds it, and that one ends with ours, however ours ends:
nothing has a name, nothing is left behind, and any number of labs run side by side. It takes root, nftables
and, for delays, iptables-legacy: netem and nft's own queues are not in every kernel.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

NATS = ("cone", "symmetric", "full", "addr", "udpblock", "tcp443")
"""Endpoint-independent mapping with port-restricted filtering; address- and port-dependent mapping; a port
forward of all UDP; address-restricted filtering; only TCP gets out; only TCP to port 443 gets out."""

HELD = ("setpriv", "--pdeathsig", "KILL")
"""What goes before a command for it to end with us, killed or not."""

PUBLIC = "198.51.100"
PUBLIC6 = "2001:db8:51:"


def run(*command: str, text: str | None = None) -> str:
    """Run a command; raise with its words where it fails."""
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Namespace:
    """A network namespace, held by a process that ends with this one."""

    def __init__(self) -> None:
        holder = (
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--net",
            "sh",
            "-c",
            "echo up; exec sleep infinity",
        )
        self._holder = subprocess.Popen(holder, stdout=subprocess.PIPE)
        self._holder.stdout.readline()
        self.pid = self._holder.pid
        self.run("ip", "link", "set", "lo", "up")

    def enter(self) -> tuple[str, ...]:
        """Return what goes before a command for it to run here."""
        return ("nsenter", "-t", str(self.pid), "-n")

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command here."""
        return run(*self.enter(), *command, text=text)

    def close(self) -> None:
        """End it, and all its links with it."""
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()


@dataclass(frozen=True)
class Way:
    """What a place's way out is like.

    Attributes:
        delay: seconds, each way.
        loss: of 100 packets, each way.
        rate: bits a second from the place, e.g. "2mbit"; "" where it is not limited.
    """

    delay: float = 0.0
    loss: int = 0
    rate: str = ""


CLEAR = Way()


class Place:
    """Somewhere a program runs. Made by `Lab.place`.

    Attributes:
        address: its address, as it sees it.
        addresses: all of them; a public place has one of each family, IPv4 first.
        outside: the IPv4 address that the others see of it, before it moves.
    """

    def __init__(self, lab: Lab, name: str, number: int, nat: str, way: Way, *, ipv6: bool) -> None:
        self.name = name
        self._loss = way.loss
        self._router: Namespace | None = None  # a public place has none
        self._closing = ExitStack()
        self._here = self._namespace()
        self.outside = outer = f"{PUBLIC}.{number}"
        if not nat and not ipv6:
            lab.plug(self._here, f"{outer}/24", f"{PUBLIC6}:{number}/64")
            self.address = outer
            self.addresses = [outer, f"{PUBLIC6}:{number}"]
            return
        self._router = router = self._namespace()
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        lab.plug(router, f"{outer}/24", f"{PUBLIC6}:{number}/64", name="wan")
        router.run(
            "ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", str(self._here.pid)
        )
        router.run("ip", "link", "set", "lan", "up")
        self._here.run("ip", "link", "set", "eth0", "up")
        net = f"2001:db8:{number}:" if ipv6 else f"192.168.{number}"
        end, bits, more = (":", "64", ("nodad",)) if ipv6 else (".", "24", ())
        self.address = f"{net}{end}2"
        self.addresses = [self.address]
        router.run("ip", "addr", "add", f"{net}{end}1/{bits}", "dev", "lan", *more)
        self._here.run("ip", "addr", "add", f"{self.address}/{bits}", "dev", "eth0", *more)
        self._here.run("ip", "route", "add", "default", "via", f"{net}{end}1")
        if ipv6:
            self._here.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=0")
            lab.route(f"{net}:/64", f"{PUBLIC6}:{number}", but=router)
        router.run("nft", "-f", "-", text=rules(nat, self.address, way.loss))
        if way.rate:
            limit = ("rate", way.rate, "burst", "32kb", "latency", "200ms")
            router.run("tc", "qdisc", "add", "dev", "wan", "root", "tbf", *limit)
        if way.delay:
            self._delay(way.delay)

    def _namespace(self) -> Namespace:
        made = Namespace()
        self._closing.callback(made.close)
        return made

    def _delay(self, seconds: float) -> None:
        delayer = (sys.executable, str(Path(__file__).with_name("delay.py")), str(seconds))
        process = subprocess.Popen([*self._router.enter(), *HELD, *delayer], stdout=subprocess.PIPE)
        self._closing.callback(process.stdout.close)
        self._closing.callback(process.wait)
        self._closing.callback(process.kill)
        assert process.stdout.readline() == b"up\n", "the delay did not start"
        for table in ("iptables-legacy", "ip6tables-legacy"):
            self._router.run(table, "-A", "FORWARD", "-j", "NFQUEUE", "--queue-num", "7")

    def become(self, nat: str) -> None:
        """Be behind a NAT of another kind from now on; what the old one knew is forgotten."""
        self._router.run("nft", "flush", "ruleset")
        self._router.run("nft", "-f", "-", text=rules(nat, self.address, self._loss))
        self.forget()

    def forget(self) -> None:
        """Have the NAT forget all connections, as one does that was idle too long or was restarted."""
        if self._router is not None:
            self._router.run("conntrack", "-F")

    def move(self, number: int) -> None:
        """Come to another network: another address here, and another public one of the router's.

        Args:
            number: of the network, 100 to 199: the addresses are 10.NUMBER.0.2 and 198.51.100.NUMBER.
        """
        self.leave()
        self._router.run("ip", "addr", "flush", "dev", "wan")
        self._router.run("ip", "addr", "add", f"{PUBLIC}.{number}/24", "dev", "wan")
        self._router.run("ip", "route", "replace", "default", "via", f"{PUBLIC}.1")
        self.forget()
        self.address = f"10.{number}.0.2"
        self._router.run("ip", "addr", "add", f"10.{number}.0.1/24", "dev", "lan")
        self.come_back()

    def leave(self) -> None:
        """Lose the address, and with it the way out."""
        self._here.run("ip", "addr", "flush", "dev", "eth0")

    def come_back(self) -> None:
        """Have the address again."""
        self._here.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self._here.run("ip", "route", "replace", "default", "via", self.address[:-1] + "1")

    def enter(self) -> tuple[str, ...]:
        """Return what goes before a command for it to run here."""
        return self._here.enter()

    def run(self, *command: str) -> str:
        """Run a command here to its end."""
        return self._here.run(*command)

    async def start(self, *command: str, **options: Any) -> asyncio.subprocess.Process:
        """Start a program here; it ends with this process at the latest."""
        return await asyncio.create_subprocess_exec(*self.enter(), *HELD, *command, **options)

    def close(self) -> None:
        """End it."""
        self._closing.close()


class Lab:
    """The public segment, and the places on it."""

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._numbers = itertools.count(10)
        self._plugs = itertools.count(1)
        self._plugged: list[Namespace] = []
        self._routes: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._segment = Namespace()
            undo.callback(self._segment.close)
            self._segment.run("ip", "link", "add", "br0", "type", "bridge")
            self._segment.run("ip", "link", "set", "br0", "up")
            # Where everything goes that has no place here: it is dropped without a word, as on the internet.
            self._segment.run("ip", "addr", "add", f"{PUBLIC}.1/24", "dev", "br0")
            self._segment.run("ip", "addr", "add", f"{PUBLIC6}:1/64", "dev", "br0", "nodad")
            self._closing = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def place(self, name: str, nat: str = "", way: Way = CLEAR, *, ipv6: bool = False) -> Place:
        """Make a place.

        Args:
            name: for people.
            nat: one of `NATS`; "" for a public address.
            way: delay, loss and rate of its way out; only where it is behind a router.
            ipv6: it has IPv6 alone, behind a router that lets in only what answers.
        """
        if nat and nat not in NATS:
            raise ValueError(f"no NAT of this kind: {nat}")
        place = Place(self, name, next(self._numbers), nat, way, ipv6=ipv6)
        self._closing.callback(place.close)
        return place

    def plug(self, namespace: Namespace, *addresses: str, name: str = "eth0") -> None:
        """Connect a namespace to the public segment."""
        port = f"p{next(self._plugs)}"
        peer = ("peer", "name", name, "netns", str(namespace.pid))
        self._segment.run("ip", "link", "add", port, "type", "veth", *peer)
        self._segment.run("ip", "link", "set", port, "master", "br0", "up")
        namespace.run("ip", "link", "set", name, "up")
        for address in addresses:
            namespace.run("ip", "addr", "add", address, "dev", name, *(("nodad",) if ":" in address else ()))
        for net, via in (("default", f"{PUBLIC}.1"), *self._routes):
            namespace.run("ip", "route", "add", net, "via", via)
        namespace.run("ip", "-6", "route", "add", "default", "via", f"{PUBLIC6}:1")
        self._plugged.append(namespace)

    def route(self, net: str, via: str, *, but: Namespace) -> None:
        """Tell all who are plugged in, now and later, the way to a network."""
        self._routes.append((net, via))
        for namespace in self._plugged:
            if namespace is not but:
                namespace.run("ip", "route", "add", net, "via", via)


def rules(nat: str, inside: str, loss: int) -> str:
    """Return a router's nftables rules.

    What comes for the router itself is dropped: else a far end's early probe leaves a connection entry there,
    our own probe to the same address then gets another port, and no NAT would be of its kind.
    """
    dropped = f"numgen random mod 100 < {loss} drop\n" if loss else ""
    forward = {
        "udpblock": "meta l4proto udp drop",
        "tcp443": 'iifname "lan" tcp dport 443 accept\nct state established accept\ndrop',
        "full": "accept",
        "addr": "accept",
    }.get(nat, 'iifname "wan" ct state new drop')
    text = f"""
table inet filter {{
  chain input {{
    type filter hook input priority 0
    iifname "wan" meta l4proto {{ tcp, udp }} ct state new drop
  }}
  chain forward {{
    type filter hook forward priority 0
    {dropped}{forward}
  }}
}}
"""
    if not nat:
        return text
    masquerade = "masquerade fully-random" if nat == "symmetric" else "masquerade"
    before = {
        "full": f'iifname "wan" meta l4proto udp dnat to {inside}',
        "addr": f'iifname "wan" ip saddr @peers meta l4proto udp dnat to {inside}',
    }.get(nat, "")
    return f"""{text}
table ip nat {{
  set peers {{
    type ipv4_addr
    flags dynamic,timeout
    timeout 60s
  }}
  chain track {{
    type filter hook postrouting priority 90
    oifname "wan" meta l4proto udp update @peers {{ ip daddr }}
  }}
  chain pre {{
    type nat hook prerouting priority -100
    {before}
  }}
  chain post {{
    type nat hook postrouting priority 100
    oifname "wan" {masquerade}
  }}
}}
"""
