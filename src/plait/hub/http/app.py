"""The hub's HTTP application: one FastAPI app, made of the routes beside this file."""

# No `annotations` from the future here: FastAPI reads them.
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata
from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from plait.hub.auth import Authenticator
from plait.hub.contracts import Access, Principal, Things
from plait.hub.dispatch import Dispatch
from plait.hub.http import credentials as credential_routes
from plait.hub.http import doctor, login, page, problems, things
from plait.hub.http.headers import SecurityHeaders
from plait.hub.metrics import Metrics
from plait.hub.store.credentials import Credentials

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEALTHY_WITHIN_S: Final = 2.0


def make_app(
    *,
    dispatch: Dispatch,
    things_known: Things,
    access: Access,
    auth: Authenticator,
    credentials: Credentials,
    metrics: Metrics,
    alive: Callable[[], Awaitable[object]],
    ice_servers: doctor.IceServersFor,
    handed_out: Sequence[BaseRoute] = (),
) -> FastAPI:
    """Return the application.

    Args:
        dispatch: answers requests.
        things_known: for the directory.
        access: who may see what.
        auth: whose request it is.
        credentials: for logging in, and to be taken back.
        metrics: what /metrics tells.
        alive: returns when the store has taken a write.
        ice_servers: for the doctor.
        handed_out: routes to what makes browsers and devices trust this hub.
    """
    app = FastAPI(
        title="Plait hub",
        version=metadata.version("plait"),
        summary="Things by W3C WoT Thing Description 1.1, over HTTP",
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(SecurityHeaders)
    problems.install(app)

    async def principal(request: Request) -> Principal:
        headers = request.headers
        if "authorization" not in headers:
            # A cookie comes along with whatever a browser is made to send; the origin says who made it.
            auth.check_origin(headers.get("origin"), headers.get("host"), needed=request.method not in _SAFE)
        return auth.principal(authorization=headers.get("authorization"), cookie=headers.get("cookie"))

    app.include_router(things.router(dispatch, things_known, access, principal))
    app.include_router(login.router(credentials, auth, principal))
    app.include_router(credential_routes.router(credentials, principal))
    app.include_router(doctor.router(ice_servers, principal))

    @app.get("/healthz", tags=["operation"], summary="Whether the hub works, its store included")
    async def _health() -> Response:
        try:
            async with asyncio.timeout(_HEALTHY_WITHIN_S):
                await alive()
        except Exception as error:  # noqa: BLE001 - whatever it is, the hub is not well
            return JSONResponse({"status": "the store does not answer", "error": type(error).__name__}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", tags=["operation"], summary="Figures for Prometheus")
    async def _metrics() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    app.router.routes.extend(handed_out)
    page.install(app)
    return app
