"""Logging in with a one-time code, and who one is."""

# No `annotations` from the future here: FastAPI reads them, and they name things of the function around.
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from plait.hub.auth import COOKIE, Authenticator, session_cookie
from plait.hub.contracts import Principal
from plait.hub.store.credentials import SESSION_S, Credentials
from plait.wire.errors import Unauthorized


class Login(BaseModel):
    """The code from a login link."""

    code: str = Field(min_length=1, max_length=200)


def router(
    credentials: Credentials, auth: Authenticator, principal: Callable[..., Awaitable[Principal]]
) -> APIRouter:
    """Return the routes under /api.

    Args:
        credentials: who is known.
        auth: from where they may ask.
        principal: a dependency that says whose request it is.
    """
    routes = APIRouter(prefix="/api", tags=["login"])

    @routes.post("/login", summary="Exchange a one-time code for a session cookie")
    async def _log_in(login: Login, request: Request) -> Response:
        auth.check_origin(request.headers.get("origin"), request.headers.get("host"))
        entered = await run_in_threadpool(credentials.log_in, login.code)
        if entered is None:
            raise Unauthorized("the code was used, is too old, or was never given out", field="/code")
        secret, me = entered
        response = JSONResponse({"kind": me.kind, "id": me.id})
        response.set_cookie(
            COOKIE,
            secret,
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @routes.post("/logout", summary="End the browser's session")
    async def _log_out(request: Request, me: Annotated[Principal, Depends(principal)]) -> Response:
        del me  # only asked for so that the origin is checked
        secret = session_cookie(request.headers.get("cookie"))
        if secret is not None:
            await run_in_threadpool(credentials.log_out, secret)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    @routes.get("/me", summary="Who I am")
    async def _me(me: Annotated[Principal, Depends(principal)]) -> dict[str, str]:
        return {"kind": me.kind, "id": me.id}

    return routes
