"""Every error of the HTTP side as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from plait.hub.affordances import pointer
from plait.wire.errors import InvalidMessage, PlaitError, Problem

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_log = structlog.get_logger("plait.hub")


def answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return the response that carries a problem."""
    given = dict(headers or {})
    if problem.status == HTTPStatus.UNAUTHORIZED:
        given["www-authenticate"] = "Bearer"  # RFC 9110, section 15.5.2
    return Response(
        msgspec.json.encode(problem), problem.status, headers=given, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""

    @app.exception_handler(PlaitError)
    async def _ours(_: Request, error: PlaitError) -> Response:
        return answer(error.problem())

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = pointer(*first["loc"][1:]) or None
        return answer(InvalidMessage(str(first["msg"]), field=field).problem())

    @app.exception_handler(HTTPException)
    async def _framework(_: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        problem = Problem(type="about:blank", title=status.phrase, status=status, detail=str(error.detail))
        return answer(problem, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        _log.error("request failed", path=request.url.path, exc_info=error)
        return answer(PlaitError("the hub failed").problem())
