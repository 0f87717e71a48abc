"""The WoT directory and REST, over the same rooms that WebSockets reach (TD 1.1, section 8.3)."""

# No `annotations` from the future here: FastAPI reads them, and they name things of the function around.
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from msgspec import UNSET
from starlette.responses import Response

from plait.hub.contracts import Access, Principal, Things
from plait.hub.dispatch import Dispatch
from plait.hub.http.visitor import Visitor
from plait.wire.errors import InvalidMessage, MessageTooLarge
from plait.wire.messages import (
    INVOKE_ACTION,
    MAX_MESSAGE,
    READ_ALL_PROPERTIES,
    READ_PROPERTY,
    WRITE_PROPERTY,
    Message,
    new_id,
    request,
)


def router(
    dispatch: Dispatch, things: Things, access: Access, principal: Callable[..., Awaitable[Principal]]
) -> APIRouter:
    """Return the routes under /things.

    Args:
        dispatch: answers requests.
        things: for the directory.
        access: who may see what.
        principal: a dependency that says whose request it is.
    """
    routes = APIRouter(prefix="/things", tags=["things"])
    who = Depends(principal)

    def described(record_description: dict[str, Any], ask: Request) -> dict[str, Any]:
        # The forms of a description are relative to the hub that serves it.
        return {**record_description, "base": str(ask.base_url).rstrip("/")}

    @routes.get("", summary="Every thing's description")
    async def _list(ask: Request, me: Annotated[Principal, who]) -> Response:
        seen = [
            described(record.description, ask) for record in things.all() if access.may(me, record.id, "read")
        ]
        return _json(seen)

    @routes.get("/{thing:path}/properties/{name}", summary="Read a property")
    async def _read(thing: str, name: str, me: Annotated[Principal, who]) -> Response:
        told = await dispatch.ask(Visitor(me), request(READ_PROPERTY, thing_id=thing, name=name))
        return _json(told.value)

    @routes.put(
        "/{thing:path}/properties/{name}", summary="Write a property; answers what the device confirmed"
    )
    async def _write(thing: str, name: str, ask: Request, me: Annotated[Principal, who]) -> Response:
        value = await _body(ask)
        if value is UNSET:
            raise InvalidMessage("the body is the value, as JSON", field="/value")
        told = await dispatch.ask(
            Visitor(me), request(WRITE_PROPERTY, thing_id=thing, name=name, value=value)
        )
        return _json(told.value)

    @routes.get("/{thing:path}/properties", summary="The last known value of each property")
    async def _read_all(thing: str, me: Annotated[Principal, who]) -> Response:
        told = await dispatch.ask(Visitor(me), request(READ_ALL_PROPERTIES, thing_id=thing))
        return _json({name: state["value"] for name, state in told.value.items()})

    @routes.post("/{thing:path}/actions/{name}", summary="Run an action; answers its output")
    async def _invoke(
        thing: str,
        name: str,
        ask: Request,
        me: Annotated[Principal, who],
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> Response:
        message = Message(
            message_type="request",
            operation=INVOKE_ACTION,
            message_id=idempotency_key or new_id(),
            thing_id=thing,
            name=name,
            input=await _body(ask),
        )
        told = await dispatch.ask(Visitor(me), message)
        return _json(told.output)

    @routes.get("/{thing:path}", summary="A thing's description")
    async def _get(thing: str, ask: Request, me: Annotated[Principal, who]) -> Response:
        access.check(me, thing, "read")
        return _json(described(things.get(thing).description, ask), "application/td+json")

    return routes


async def _body(ask: Request) -> Any:
    """Return the request's JSON, or nothing where its body is empty."""
    body = b""
    async for chunk in ask.stream():
        body += chunk
        if len(body) > MAX_MESSAGE:
            raise MessageTooLarge(f"a body has at most {MAX_MESSAGE} bytes")
    if not body:
        return UNSET
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(str(error)) from error


def _json(value: Any, kind: str = "application/json") -> Response:
    return Response(msgspec.json.encode(None if value is UNSET else value), media_type=kind)
