"""The page, as it was built into the package; and a word of help where it was not."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    import os

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

FOLDER: Final = Path(__file__).parent.parent / "page"

_HELP: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Plait</title>
<h1>This hub runs, but its page is not built</h1>
<p>In a checkout, <code>make setup</code> builds it (it needs Node 20.19 or newer). Everything else works
without it:
<code>plait things</code>, <code>plait get</code>, <a href="/docs">the HTTP interface</a>.</p></html>"""


class _Page(StaticFiles):
    """Browsers keep files whose names change with their content; they ask for the rest each time."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        hashed = Path(full_path).parent.name == "assets"
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


def install(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve the page at / (last, since it takes every path that is left), and the routes' list at /docs."""
    app.router.routes.append(Route("/docs", _docs(app)))
    if (folder / "index.html").is_file():
        app.router.routes.append(Mount("/", _Page(directory=folder, html=True), name="page"))
    else:
        app.router.routes.append(Route("/", lambda _: HTMLResponse(_HELP)))


def _docs(app: FastAPI) -> Any:
    """Return a page that lists what /openapi.json says: it needs neither scripts nor the internet."""

    async def docs(_: Request) -> Response:
        rows = [
            f"<tr><td><code>{method.upper()}</code><td><code>{html.escape(path)}</code>"
            f"<td>{html.escape(str(operation.get('summary', '')))}"
            for path, operations in app.openapi()["paths"].items()
            for method, operation in operations.items()
        ]
        return HTMLResponse(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Plait: HTTP</title>'
            "<style>body{font:16px/1.5 system-ui;margin:2rem}td{padding:.2rem 1rem .2rem 0}</style>"
            '<h1>The HTTP interface</h1><p>In full: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). '
            "Send <code>Authorization: Bearer TOKEN</code>.<table>" + "".join(rows) + "</table></html>"
        )

    return docs
