"""A camera as a thing: a source's picture, passed through to every viewer who calls."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, Unpack

from msgspec import Meta

from plait.media import Fanout, Source, SourceError, Stills, Viewer, profiles
from plait.rtc import IceCandidate, IceServer, NegotiationError, PeerConnection, SessionDescription
from plait.thing.affordances import event, prop
from plait.thing.following import Following
from plait.thing.kept.certificate import certificate_of
from plait.thing.offers import Offers
from plait.thing.thing import Thing
from plait.wire.errors import ActionFailed, InvalidMessage, UnknownOperation

if TYPE_CHECKING:
    from pathlib import Path

    from plait.rtc import Certificate, DataChannel, Transceiver
    from plait.thing.call import Call, Candidate
    from plait.thing.runner import Options
    from plait.wire.description import Description

log = logging.getLogger("plait.camera")

CONNECT_WITHIN: Final = 30.0
"""Seconds from the answer to a connection; after that there is no path."""

OPENS_WITHIN: Final = 5.0
"""Seconds that a call waits while the source is being opened; then it is refused, and told why."""

AWAY: Final = 8.0
"""Seconds that a viewer may be disconnected before it is let go: time for its network to come back."""

_LINK: Final = {"rel": "plait:call", "href": "/ws"}


class Camera(Thing, types=["Camera"], context=[{"plait": "urn:plait:"}]):
    """A camera, live by WebRTC.

    Args:
        id: a URI, the camera's name for machines.
        source: a file, an address (`rtsp://…`, `http://…`), a device (`/dev/video0`) or `test:640x480@15`.
        title: its name for people.
        state: the folder that keeps its DTLS certificate; absent, the user's own state folder.
    """

    state: str = prop("opening", readonly=True, title="Source")
    problem: str = prop("", readonly=True, description="Why the source is not live; empty while it is.")
    viewers: Annotated[int, Meta(ge=0)] = prop(0, readonly=True)
    limited: Annotated[int, Meta(ge=0)] = prop(
        0, readonly=True, description="Viewers whose path carries less than the picture; they get what fits."
    )
    resolution: str = prop("", readonly=True, description="Width and height in pixels, as 1280x720.")
    frame_rate: Annotated[float, Meta(ge=0)] = prop(0.0, readonly=True, unit="hertz")
    passthrough: bool = prop(False, readonly=True, description="The source's bytes reach viewers untouched.")
    source_lost = event(str, description="The source broke off; it is tried again.")

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - WoT's name for it
        *,
        source: str,
        title: str | None = None,
        state: Path | None = None,
    ) -> None:
        super().__init__(id, title=title)
        self.source = Source(source)
        self.fanout = Fanout(self.source)
        self.stills = Stills(self.fanout)
        self.certificate: Certificate = certificate_of(self.id, state)
        self.source.on_state = self._source_changed
        self.fanout.on_viewers = self._viewers_changed
        self.fanout.on_limited = self._limited_changed
        self._opening: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Look what the source is, so that it is known before the camera is served. Blocks.

        Raises:
            SourceError: it cannot be opened, and trying again will not help.
        """
        try:
            self.source.look()
        except SourceError as error:
            if error.permanent:
                raise

    def run(self, **options: Unpack[Options]) -> None:
        """Serve it as this program's whole work; a source that cannot be is one line, and exit code 2."""
        try:
            self.look()
        except SourceError as error:
            print(f"{self.title}: {error}", file=sys.stderr)  # noqa: T201 - the one line that a person reads
            raise SystemExit(2) from None
        super().run(**options)

    async def open(self) -> None:
        """Open the source; later calls wait for the first.

        Raises:
            SourceError: it cannot be opened, and trying again will not help.
        """
        if self._opening is None:
            self._opening = asyncio.create_task(self.source.open(), name=f"source of {self.id}")
        await asyncio.shield(self._opening)

    async def _opened(self) -> None:
        """Wait while the source is being opened for the first time: a viewer may be as quick."""
        with suppress(SourceError, TimeoutError):
            async with asyncio.timeout(OPENS_WITHIN):
                await self.open()

    async def main(self) -> None:
        """Play the source for as long as the camera is served."""
        await self.open()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.stills.close()
            await self.source.close()

    def describe(self, **options: Any) -> Description:
        """Say in the link which media a call gives."""
        description = super().describe(**options)
        sound = self.source.info is not None and self.source.info.audio
        link = {**_LINK, "plait:media": ["video", "audio"] if sound else ["video"]}
        description["links"] = [*description.get("links", []), link]
        return description

    async def on_call(self, call: Call) -> None:
        """Show the picture to one viewer until it leaves."""
        await self._opened()
        servers = [IceServer.from_dict(server) for server in call.ice_servers]
        async with PeerConnection(certificate=self.certificate, ice_servers=servers) as peer:
            await _View(self, call, peer).run()

    async def on_picture(self, width: int, size: int) -> bytes:
        """Show the present picture to a viewer whom no video reaches."""
        await self._opened()
        try:
            return await self.stills.take(width=width, size=size)
        except SourceError as error:
            raise ActionFailed(f"The camera has no picture: {error}") from error

    def refusal(self, sdp: str, video: Transceiver | None) -> str:
        """Return why this offer cannot be shown the picture; empty where it can."""
        info = self.source.info
        if info is None:
            return f"the camera has no picture: {self.source.reason or 'its source is being opened'}"
        if video is None:
            return ""
        if info.codec not in video.codecs:
            theirs = ", ".join(video.codecs) or "none that the camera knows"
            return f"the camera sends {info.codec}; this viewer takes {theirs}"
        if info.codec == "H264" and not profiles.plays(profiles.offered(sdp), info.profile):
            profile = profiles.name(info.profile)
            return f"the camera sends H264 of the profile {profile}; this viewer takes only lower ones"
        return ""

    def _source_changed(self, state: str) -> None:
        if state == "closed":
            return
        if state == "retrying":
            if self.state == "live":
                self.source_lost.emit(self.source.reason)
            log.warning("%s", self.source.reason)
        self.state, self.problem = state, self.source.reason
        info = self.source.info
        if info is not None:
            self.resolution = f"{info.width}x{info.height}"
            self.frame_rate = round(info.rate, 3)
            self.passthrough = info.passthrough

    def _viewers_changed(self, count: int) -> None:
        self.viewers = count

    def _limited_changed(self, count: int) -> None:
        self.limited = count


class _View:
    """One viewer's call."""

    def __init__(self, camera: Camera, call: Call, peer: PeerConnection) -> None:
        self._camera = camera
        self._call = call
        self._peer = peer
        self._viewer: Viewer | None = None
        self._video: Transceiver | None = None
        self._audio: Transceiver | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._following: asyncio.Task[None] | None = None
        self._echoes: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer the viewer's offers until the call has ended."""
        call, peer = self._call, self._peer
        peer.renew_ice_servers = self._renewed_servers
        peer.on_ice_candidate = call.send_candidate
        peer.on_connection_state_change = self._state_changed
        peer.on_data_channel = self._channel_opened
        call.on_candidate = self._take_candidate
        offers = Offers(call, peer)
        self._end_after(CONNECT_WITHIN, "no path to the viewer was found")
        try:
            async for offer in call.offers():
                if offers.out:
                    offer.refuse(ActionFailed("The camera's own offer came first"))
                    continue
                try:
                    answer = await peer.accept(SessionDescription("offer", offer.sdp))
                except NegotiationError as error:
                    offer.refuse(InvalidMessage(f"The offer cannot be read: {error}", field="/data/sdp"))
                    continue
                self._video, self._audio = self._sender("video"), self._sender("audio")
                if self._audio is not None and not self._audio.codecs:
                    self._audio = None  # a viewer that takes no sound of ours sees the picture all the same
                if refusal := self._camera.refusal(offer.sdp, self._video):
                    offer.refuse(UnknownOperation(refusal[0].upper() + refusal[1:]))
                    return
                offer.answer(answer.sdp)
        finally:
            offers.close()
            self._end_after(None)
            self._leave()
            for echo in self._echoes:
                echo.cancel()

    def _sender(self, kind: str) -> Transceiver | None:
        found = (each for each in self._peer.transceivers if each.kind == kind and "send" in each.direction)
        return next(found, None)

    async def _renewed_servers(self) -> list[IceServer]:
        return [IceServer.from_dict(server) for server in await self._call.renewed_servers()]

    def _take_candidate(self, candidate: Candidate | None) -> None:
        if candidate is None:
            self._peer.add_ice_candidate(None)
            return
        try:
            self._peer.add_ice_candidate(
                IceCandidate(candidate.candidate, candidate.sdp_mid, candidate.sdp_m_line_index)
            )
        except ValueError as error:
            log.info("a viewer's candidate is left out: %s", error)

    def _state_changed(self, state: str) -> None:
        if state == "connected":
            self._end_after(None)
            self._enter()
        elif state == "disconnected":
            self._end_after(AWAY, "the viewer is gone")
        elif state in {"failed", "closed"}:
            self._call.bye(self._peer.close_reason or "the connection was lost")

    def _end_after(self, seconds: float | None, reason: str = "") -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if seconds is None else loop.call_later(seconds, self._call.bye, reason)

    def _enter(self) -> None:
        if self._viewer is not None or (self._video is None and self._audio is None):
            return
        viewer = self._viewer = Viewer(self._video, self._audio)
        if self._video is not None:
            self._video.on_keyframe_request = lambda: self._camera.fanout.request_keyframe(viewer)
            following = Following(self._camera.fanout, viewer)
            self._following = asyncio.create_task(following.run(self._peer, self._video), name="following")
        self._camera.fanout.add(viewer)

    def _leave(self) -> None:
        if self._following is not None:
            self._following.cancel()
        if self._viewer is not None:
            self._camera.fanout.remove(self._viewer)

    def _channel_opened(self, channel: DataChannel) -> None:
        if channel.label == "echo":
            task = asyncio.create_task(_echo(channel), name="echo")
            self._echoes.add(task)
            task.add_done_callback(self._echoes.discard)


async def _echo(channel: DataChannel) -> None:
    """Send back what comes: how `plait check` measures the way to a device."""
    async for message in channel:
        await channel.send(message)
