"""`plait doctor`: what works between this machine and the hub, and what to do where it does not."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from plait.cli.talk import Authority, Hub, Json, Token, console, fail, talk

if TYPE_CHECKING:
    from plait.doctor import Finding

_MARKS: Final = {
    "pass": ("✓", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✗", "red"),
    "skip": ("-", "dim"),
}
_WIDTH: Final = 25


def command(
    thing: Annotated[
        str | None,
        typer.Argument(
            metavar="[THING]", help="Explain the connection to this thing instead: its id, title or a part."
        ),
    ] = None,
    *,
    hub: Hub = None,
    token: Token = None,
    ca: Authority = None,
    camera: Annotated[
        str | None,
        typer.Option("--camera", metavar="SOURCE", help="A picture source to look at: as in plait camera."),
    ] = None,
    servers: Annotated[
        list[str] | None,
        typer.Option(
            "--ice-server",
            metavar="URL",
            help="A STUN or TURN server beside the hub's; repeatable. A TURN server's user and credential go "
            "before its host: turn:USER:SECRET@HOST:PORT?transport=tcp.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Examine this machine's way to the hub and to other networks, line by line, with what to do.

    Ends with 1 where something fails. With THING: which way a connection to it takes, and why no better one.
    """
    # What servers and networks do not give is what this command is about: it says so itself.
    for name in ("plait.rtc", "zeroconf"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if thing is not None:
        from plait.cli.doctor_thing import explain

        talk(explain(thing, hub=hub, token=token, ca=ca, as_json=as_json))
        return
    if not asyncio.run(_examine(hub, token, ca, camera, servers or [], as_json=as_json)):
        raise typer.Exit(1)


async def _examine(
    hub: str | None,
    token: str | None,
    ca: str | None,
    camera: str | None,
    servers: Sequence[str],
    *,
    as_json: bool,
) -> bool:
    from plait.app.home import DEFAULT_HUB
    from plait.doctor import Patient, examine
    from plait.doctor.finding import worst
    from plait.transport.trust import trust

    found: list[Finding] = []
    try:
        patient = Patient(
            hub=hub or DEFAULT_HUB,
            token=token,
            ssl=trust(None, ca),
            camera=camera,
            ice_servers=[server(url) for url in servers],
        )
        async for finding in examine(patient):
            found.append(finding)
            if not as_json:
                console().print(line(finding))
    except ValueError as error:
        fail(str(error), code=2)
    verdict = worst(found)
    if as_json:
        print(json.dumps({"verdict": verdict, "findings": msgspec.to_builtins(found)}, ensure_ascii=False))
    return verdict != "fail"


def line(finding: "Finding") -> Text:
    """Return a finding as people read it: what was found, and under it what to do."""
    mark, style = _MARKS[finding.verdict]
    text = Text.assemble((mark, style), " ", (f"{finding.name:<{_WIDTH}} ", "bold"), finding.said)
    if finding.advice:
        text.append(
            f"\n  {'':<{_WIDTH}} → {finding.advice}", style="" if finding.verdict == "fail" else "dim"
        )
    return text


def server(url: str) -> Mapping[str, Any]:
    """Return a server given by its URL, with its user and credential before the host, as RTCIceServer."""
    scheme, mark, rest = url.partition(":")
    credentials, at, host = rest.rpartition("@")
    if not at:
        return {"urls": url}
    username, _, credential = credentials.rpartition(":")
    return {"urls": f"{scheme}{mark}{host}", "username": username, "credential": credential}
