"""`plait hub`: run a hub, and make the credentials of those who use it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from plait.hub.settings import Settings

app = typer.Typer(add_completion=False, help="Run a hub, and make the credentials of those who use it.")

_Data = Annotated[
    Path | None, typer.Option(help="The data folder (PLAIT_DATA; else plait in the user's data folder).")
]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    *,
    host: Annotated[str | None, typer.Option(help="Where to listen (PLAIT_HOST; 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one (PLAIT_PORT; 8080).")] = None,
    data: _Data = None,
    tls: Annotated[
        str | None,
        typer.Option(help="auto, off, local, files or acme (PLAIT_TLS; auto)."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate chain (PLAIT_TLS_CERT).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its PEM key (PLAIT_TLS_KEY).")] = None,
    turn: Annotated[
        bool | None,
        typer.Option("--turn/--no-turn", help="Run a STUN and TURN server (PLAIT_TURN; yes)."),
    ] = None,
    turn_port: Annotated[
        int | None, typer.Option(help="Its UDP port (PLAIT_TURN_PORT; that of the hub's TCP port).")
    ] = None,
    turn_relay_ports: Annotated[
        str | None, typer.Option(help="UDP ports for relays, such as 50000-50199 (PLAIT_TURN_RELAY_PORTS).")
    ] = None,
    turn_published: Annotated[
        list[str] | None,
        typer.Option(help="The address that the world sees, behind 1:1 NAT (PLAIT_TURN_PUBLISHED)."),
    ] = None,
) -> None:
    """Run a hub until Ctrl-C or SIGTERM. It prints a link that logs in, once, within 15 minutes."""
    if context.invoked_subcommand is not None:
        return
    settings = _settings(
        host=host,
        port=port,
        data=data,
        tls=tls,
        tls_cert=tls_cert,
        tls_key=tls_key,
        turn=turn,
        turn_port=turn_port,
        turn_relay_ports=turn_relay_ports,
        turn_published=turn_published,
    )
    try:
        asyncio.run(_serve(settings))
    except (OSError, RuntimeError, ValueError) as error:
        print(f"plait hub: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


@app.command()
def token(
    thing: Annotated[str, typer.Argument(help="The id of the device's description, such as urn:dev:lamp.")],
    data: _Data = None,
) -> None:
    """Print a fresh token for a device, whether or not the hub runs."""
    from plait.hub.contracts import Principal
    from plait.hub.store.credentials import open_credentials

    with open_credentials(_settings(data=data).data) as credentials:
        print(credentials.make_token(Principal("thing", thing)))


@app.command()
def user_token(data: _Data = None) -> None:
    """Print a fresh token with which a program acts as the owner."""
    from plait.hub.contracts import Principal
    from plait.hub.store.credentials import open_credentials

    settings = _settings(data=data)
    with open_credentials(settings.data) as credentials:
        print(credentials.make_token(Principal("user", settings.owner)))


@app.command()
def ca(
    data: _Data = None,
    *,
    file: Annotated[bool, typer.Option("--file", help="Print where the certificate is instead.")] = False,
) -> None:
    """Print the pin of this hub's own authority, as devices and programs take it: PLAIT_CA, --ca."""
    from plait.hub.tls.authority import ROOT_FILE, Authority
    from plait.hub.tls.choice import authority_folder

    folder = authority_folder(_settings(data=data).data)
    if not folder.exists():
        print("plait hub: no authority was made here yet; a hub with --tls local makes it", file=sys.stderr)
        raise typer.Exit(1)
    try:
        authority = Authority.open(folder, [])
    except (OSError, ValueError) as error:
        print(f"plait hub: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(folder / ROOT_FILE if file else authority.pin)


@app.command()
def login(
    url: Annotated[str, typer.Argument(help="The hub's address.")] = "http://127.0.0.1:8080",
    data: _Data = None,
) -> None:
    """Print a fresh link that logs the owner's browser in, once, within 15 minutes."""
    from plait.hub.store.credentials import open_credentials

    settings = _settings(data=data)
    with open_credentials(settings.data) as credentials:
        print(f"{url.rstrip('/')}/#login={credentials.make_login_code(settings.owner)}")


@app.command()
def credentials(data: _Data = None) -> None:
    """List the tokens and the browsers that are logged in: id, whose, since when. Never their secrets."""
    from plait.hub.contracts import moment
    from plait.hub.store.credentials import open_credentials

    with open_credentials(_settings(data=data).data) as known:
        for credential in known.all():
            what = "browser" if credential.browser else "token"
            since = f"{moment(credential.created):%Y-%m-%d %H:%M}"
            print(f"{credential.id}  {what:<7}  {since}  {credential.principal}")


@app.command()
def revoke(
    which: Annotated[
        str, typer.Argument(help="A credential's id; or whose they all are: a thing's id, or user:NAME.")
    ],
    data: _Data = None,
) -> None:
    """Take tokens or browsers' logins back. A hub that runs ends their sessions within a second."""
    from plait.hub.store.credentials import open_credentials

    with open_credentials(_settings(data=data).data) as known:
        taken_back = known.revoke(which)
    if not taken_back:
        print(f"plait hub: there is no credential of {which}", file=sys.stderr)
        raise typer.Exit(1)
    for credential in taken_back:
        print(f"{credential.id}  {credential.principal}")


def _settings(**given: object) -> Settings:
    """Return the settings: arguments first, then the environment. Exits with 2 where one is wrong."""
    try:
        from pydantic import ValidationError

        from plait.hub.settings import Settings
    except ModuleNotFoundError as missing:
        print(f"plait hub: {missing}; install the extra: pip install 'plait[hub]'", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        return Settings.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for fault in error.errors():
            print(f"plait hub: {'.'.join(map(str, fault['loc']))}: {fault['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None


class _Log:
    """Standard error, for the log: nobody who stops reading it can stop the hub."""

    def write(self, text: str) -> None:
        """Write, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Write what is buffered, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


async def _serve(settings: Settings) -> None:
    import structlog

    from plait.hub.main import Hub

    # Standard output is for the address and the link alone.
    log: Any = _Log()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Hub(settings) as hub:
        print(f"Plait hub on {hub.url}")
        if hub.authority is not None:
            print(f"Trust it, once, on each device: {hub.url}/trust ({hub.authority.pin})")
        print(f"Log in, once, within 15 minutes: {hub.login_link()}", flush=True)
        await stop.wait()
