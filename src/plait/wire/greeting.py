"""Hello and welcome: how a connection takes up its session. Pure; `docs/protocol.md`, section 3.

client                                    hub
hello(session)  ──────────────────────▶   read_hello(message)
                                          … finds the session, and how far it is committed …
take_welcome(session, answer)  ◀───────   welcome(hello, known, committed)
sends `again`                             sends `again`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import UNSET

from plait.wire.codec import convert
from plait.wire.errors import InvalidMessage, UnsupportedVersion, from_problem
from plait.wire.messages import HELLO, OLDEST_PROTOCOL, PROTOCOL, Hello, Message, Welcome, response
from plait.wire.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime


class Opened(NamedTuple):
    """A connection that has its session.

    Attributes:
        welcome: what the hub said.
        session: what goes on, or begins.
        again: what this side is to send now, in order, before anything new.
    """

    welcome: Welcome
    session: Session
    again: list[Message]


# The client's half


def hello(session: Session, software: str, *, journal: bool = False) -> Message:
    """Return the first message of a connection: asks to go on where there is something to go on with."""
    known = session.id or None
    said = Hello(software=software, session=known, ack=session.ack if known else 0, journal=journal)
    # The only one of its connection: any id will do.
    asked = {"protocol": PROTOCOL} | msgspec.to_builtins(said)
    return Message(message_type="request", operation=HELLO, message_id="1", input=asked)


def take_welcome(
    session: Session, asked: Message, answer: Message, *, first: Callable[[], Iterable[Message]] = tuple
) -> Opened:
    """Take the hub's answer to `asked`; the session goes on or begins anew.

    Args:
        session: the client's one session.
        asked: the hello.
        answer: what came.
        first: called where the session begins anew: what must go before all else.

    Raises:
        PlaitError: the hub refused, with its reason.
        UnsupportedVersion: the hub welcomes us to a protocol that we do not speak.
        InvalidMessage: that was no welcome.
    """
    if answer.operation != HELLO or answer.correlation_id != asked.message_id:
        raise InvalidMessage("The hub's first message must be its welcome")
    if answer.error is not UNSET:
        raise from_problem(answer.error)
    welcome = convert(answer.output, Welcome, field="/output")
    if not OLDEST_PROTOCOL <= welcome.protocol <= PROTOCOL:
        detail = f"The hub speaks protocol {welcome.protocol}, this client {_spoken()}"
        raise UnsupportedVersion(detail, field="/output/protocol")
    if welcome.time.tzinfo is None:
        raise InvalidMessage("A time needs a UTC offset", field="/output/time")
    if welcome.resumed:
        return Opened(welcome, session, session.resume(welcome.ack))
    return Opened(welcome, session, session.renumber(welcome.session, welcome.ack, first=first()))


# The hub's half


def read_hello(message: Message) -> Hello:
    """Return what the first message of a connection says.

    Raises:
        InvalidMessage: it is not a hello. Close with 4000.
        UnsupportedVersion: the client's highest version is older than our lowest.
    """
    if message.operation != HELLO or message.message_type != "request" or message.message_id is UNSET:
        raise InvalidMessage("The first message must be a hello request", field="/operation")
    said = convert(message.input, Hello, field="/input")
    if said.protocol < OLDEST_PROTOCOL:
        detail = f"This hub speaks protocol {_spoken()}, the client at most {said.protocol}"
        raise UnsupportedVersion(detail, field="/input/protocol")
    return said


def _spoken() -> str:
    return str(PROTOCOL) if OLDEST_PROTOCOL == PROTOCOL else f"{OLDEST_PROTOCOL} to {PROTOCOL}"


def _begin() -> Session:
    return Session(f"s-{uuid4().hex}")


def welcome(
    said: Hello,
    known: Session | None,
    *,
    committed: int,
    window: float,
    time: datetime,
    begin: Callable[[], Session] = _begin,
) -> Opened:
    """Decide between going on and beginning anew.

    Args:
        said: the client's hello.
        known: the session of that id, if this hub process has it and the credential is its owner's.
        committed: with `known` None, how far that session's messages were committed before the process began,
            as the store has it; 0 where it knows nothing. Nothing of it may be still in the making.
        window: seconds for which a broken session is kept.
        time: the hub's clock.
        begin: makes a new session, with its id.
    """
    if known is not None and known.id == said.session and known.resumable(said.ack):
        session, resumed, ack, again = known, True, known.ack, known.resume(said.ack)
    else:
        ack = committed if known is None else known.ack
        session, resumed, again = begin(), False, []
    return Opened(
        Welcome(
            protocol=min(said.protocol, PROTOCOL),
            session=session.id,
            resumed=resumed,
            ack=ack,
            window=window,
            time=time,
        ),
        session,
        again,
    )


def welcome_message(asked: Message, opened: Opened) -> Message:
    """Return the hub's answer to a hello, ready to send."""
    return response(asked, output=msgspec.to_builtins(opened.welcome))
