"""What a doctor asks a hub for: its time, the STUN and TURN servers of calls, and how one is seen.

One request without a session: a device that is examined while it runs is not disturbed.
"""

# No `annotations` from the future here: FastAPI reads them, and they name things of the function around.
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from plait.hub.contracts import Client, Principal

IceServersFor = Callable[[Client], list[dict[str, Any]]]
"""Gives somebody W3C `RTCIceServer` objects."""


@dataclass(frozen=True)
class _Examined:
    """What servers want to know of a client: who it is, and by which name it reached the hub."""

    principal: Principal
    authority: str


def router(ice_servers: IceServersFor, principal: Callable[..., Awaitable[Principal]]) -> APIRouter:
    """Return the route.

    Args:
        ice_servers: what to hand out.
        principal: a dependency that says whose request it is.
    """
    routes = APIRouter(prefix="/api", tags=["operation"])

    @routes.get("/doctor", summary="What `plait doctor` and the page's doctor examine with")
    async def _doctor(request: Request, me: Annotated[Principal, Depends(principal)]) -> Response:
        address = request.client
        examined = _Examined(me, request.headers.get("host", ""))
        return JSONResponse(
            {
                "time": datetime.now(UTC).isoformat(),
                "iceServers": ice_servers(cast("Client", examined)),
                "address": [address.host, address.port] if address else None,
            },
            headers={"Cache-Control": "no-store"},
        )

    return routes
