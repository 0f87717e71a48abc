"""Puts the hub together: the one place that knows every part."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import structlog

from plait.hub.access import OwnerAccess
from plait.hub.affordances import read_description
from plait.hub.auth import Authenticator
from plait.hub.bus.local import LocalBus
from plait.hub.clients import LiveClients
from plait.hub.connection import Connection
from plait.hub.contracts import Principal
from plait.hub.dispatch import Dispatch
from plait.hub.door import Door, DoorSettings, to_tls
from plait.hub.http import trust
from plait.hub.http.app import make_app
from plait.hub.metrics import Metrics
from plait.hub.outbox import Traffic
from plait.hub.revocations import Revocations
from plait.hub.rooms.actions import Actions
from plait.hub.rooms.events import Events
from plait.hub.rooms.history import History
from plait.hub.rooms.ice import IceServers
from plait.hub.rooms.links import Links
from plait.hub.rooms.pairings import Pairings
from plait.hub.rooms.pictures import Pictures
from plait.hub.rooms.properties import Properties
from plait.hub.rooms.registry import Registry
from plait.hub.rooms.signaling import Signaling
from plait.hub.settings import Settings
from plait.hub.store.sqlite import SqliteStore
from plait.hub.tls.keeper import Keeper
from plait.hub.turn import own_server, shared_secret
from plait.rtc.ed25519 import SigningKey

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from plait.hub.contracts import Room
    from plait.hub.tls.authority import Authority
    from plait.transport.base import Transport

_log = structlog.get_logger("plait.hub")


class Hub:
    """A hub, in this process and event loop: `async with Hub(Settings(port=0)) as hub: ...`.

    Args:
        settings: see there.

    Attributes:
        clients: the live sessions.
        store: what outlives the process.
    """

    store: SqliteStore
    clients: LiveClients

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._running = stack.pop_all()
        _log.info("hub started", url=self.url, data=str(self.settings.data))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()
        _log.info("hub stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        """Make and start every part; they end in the opposite order, even where a later one fails."""
        settings = self.settings
        traffic = Traffic()
        metrics = Metrics(traffic)
        self.store = store = SqliteStore(settings.data, committed=metrics.committed)
        stack.push_async_callback(store.close)
        bus, access = LocalBus(), OwnerAccess()
        self.clients = clients = LiveClients(bus, settings.window, store.marked, traffic)
        things = Registry(read_description, store=store, bus=bus, access=access, clients=clients)
        properties = Properties(things, store=store, bus=bus, access=access, clients=clients)
        actions = Actions(things, store=store, access=access, clients=clients)
        self._certificates = await Keeper.open(settings)
        self._turn = own = await own_server.started(
            settings,
            tls=lambda: self._certificates.pair is not None,
            authority=lambda: "" if self.authority is None else self.authority.pem.decode(),
        )
        if own is not None:
            stack.callback(own.close)
            metrics.turn = own.counters
        lenders = [*([] if own is None else [own]), *shared_secret.shared(settings)]
        self._ice = servers = IceServers(settings.ice_servers, lenders)
        key = SigningKey(store.pairings.seed())
        pairings = Pairings(
            things,
            access=access,
            clients=clients,
            store=store.pairings,
            trusts=store.credentials.trusts,
            sign=key.sign,
            public=key.public,
        )
        links = Links(
            things,
            access=access,
            clients=clients,
            permissions=pairings,
            valid=store.credentials.valid,
            servers=servers,
        )
        pairings.over, clients.on_revoked = links.unpaired, links.revoked
        # The hub's rooms. A new one is a file in rooms/ and a row here.
        rooms: tuple[Room, ...] = (
            things,
            properties,
            actions,
            History(things, store=store, access=access),
            Events(things, store=store, bus=bus, access=access),
            Signaling(things, access=access, clients=clients, servers=servers),
            links,
            pairings,
            Pictures(things, access=access, clients=clients),
            servers,
        )
        clients.rooms = rooms
        dispatch = Dispatch(rooms)
        for thing in things.load(store.descriptions(), store.last_values()):
            _log.warning("a stored description is not understood", thing=thing)
        actions.resume(store.pending_actions())
        self._auth = Authenticator(store.credentials, settings.origins)
        handed_out = trust.routes(self._certificates.authority)
        app = make_app(
            dispatch=dispatch,
            things_known=things,
            access=access,
            auth=self._auth,
            credentials=store.credentials,
            metrics=metrics,
            alive=lambda: store.marked("", "").future(),
            ice_servers=servers.lend,
            handed_out=handed_out,
        )

        def opened(transport: Transport, principal: Principal) -> None:
            Connection(transport, principal, clients, dispatch, traffic)

        self._door = Door(
            app,
            authorize=self._authorize,
            opened=opened,
            settings=DoorSettings(
                host=settings.host,
                port=settings.port,
                certificate=self._certificates.pair,
            ),
            plain=trust.plain(handed_out, self._certificates.tokens, to_tls),
            turn=None if own is None else own.native,
        )
        metrics.clients = lambda: clients
        metrics.readings = lambda: properties.readings
        metrics.waiting = lambda: store.waiting
        metrics.door = self._door.counters
        stack.push_async_callback(self._door.stop)
        stack.callback(clients.close)
        await self._door.start()
        stack.callback(pairings.close)
        await stack.enter_async_context(Revocations(store.credentials, clients))
        stack.push_async_callback(self._certificates.stop)
        self._certificates.start(self._door)

    # Where it is

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._door.port

    @property
    def url(self) -> str:
        """Its address, for people and programs."""
        scheme = "http" if self._certificates.pair is None else "https"
        host = self.settings.host
        if host in ("", "0.0.0.0", "::"):  # noqa: S104 - every address of this machine; one of them is
            host = "127.0.0.1"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def authority(self) -> Authority | None:
        """What vouches for it; None where its certificate is not its own."""
        return self._certificates.authority

    # Credentials

    def token(self, thing: str) -> str:
        """Return a fresh token for the device that is this thing."""
        return self.store.credentials.make_token(Principal("thing", thing))

    def user_token(self) -> str:
        """Return a fresh token with which a program acts as the owner."""
        return self.store.credentials.make_token(Principal("user", self.settings.owner))

    def login_link(self) -> str:
        """Return a link that logs the owner's browser in, once, within 15 minutes.

        The code is in the fragment, which browsers send nowhere: the page takes it from there.
        """
        return f"{self.url}/#login={self.store.credentials.make_login_code(self.settings.owner)}"

    def _authorize(self, request: HTTPConnection) -> Principal:
        headers = request.headers
        self._auth.check_origin(headers.get("origin"), headers.get("host"))
        return self._auth.principal(authorization=headers.get("authorization"), cookie=headers.get("cookie"))
