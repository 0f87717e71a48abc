"""Which tokens and browser sessions there are, and taking them back."""

# No `annotations` from the future here: FastAPI reads them, and they name things of the function around.
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from plait.hub.contracts import Principal, moment
from plait.hub.store.credentials import Credential, Credentials
from plait.wire.errors import Forbidden, InvalidValue


def router(credentials: Credentials, principal: Callable[..., Awaitable[Principal]]) -> APIRouter:
    """Return the routes under /api/credentials. They are for users alone.

    Args:
        credentials: what is known.
        principal: a dependency that says whose request it is.
    """
    routes = APIRouter(prefix="/api/credentials", tags=["credentials"])

    async def user(me: Annotated[Principal, Depends(principal)]) -> Principal:
        if me.kind != "user":
            raise Forbidden(f"{me} may not manage credentials")
        return me

    @routes.get("", summary="Every token and browser session; never their secrets")
    async def _list(me: Annotated[Principal, Depends(user)]) -> list[dict[str, Any]]:
        return [
            told(credential) | {"mine": credential.id == me.credential}
            for credential in await run_in_threadpool(credentials.all)
        ]

    @routes.delete(
        "/{credential}", summary="Take one back; its sessions end within a second", status_code=204
    )
    async def _revoke(credential: str, me: Annotated[Principal, Depends(user)]) -> Response:
        del me
        if not await run_in_threadpool(credentials.revoke, credential):
            raise InvalidValue("no such credential", field="/credential")
        return Response(status_code=204)

    return routes


def told(credential: Credential) -> dict[str, Any]:
    """Return what is shown of a credential."""
    return {
        "id": credential.id,
        "principal": str(credential.principal),
        "type": "browser" if credential.browser else "token",
        "created": moment(credential.created).isoformat(),
    }
