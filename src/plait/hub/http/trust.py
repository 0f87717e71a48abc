"""Hands out the local authority's root: to phones, PCs and devices that are to trust this hub.

It goes out without TLS too, since who asks does not trust the hub yet; what makes it the right one is its
fingerprint, which the hub prints where it was started.
"""

from __future__ import annotations

import html
import plistlib
import uuid
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from plait.hub.http.headers import SecurityHeaders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from plait.hub.tls.authority import Authority

ROOT_PATH: Final = "/ca.crt"
PAGE_PATH: Final = "/trust"
_ACME_PATH: Final = "/.well-known/acme-challenge"
_APPLE_PATH: Final = "/ca.mobileconfig"


def routes(authority: Authority | None) -> list[BaseRoute]:
    """Return the routes that hand out this authority's root; none where there is no authority."""
    if authority is None:
        return []

    async def root(_: Request) -> Response:
        return _download(authority.pem, "application/x-x509-ca-cert", "plait-hub.crt")

    async def apple(_: Request) -> Response:
        return _download(_profile(authority), "application/x-apple-aspen-config", "plait-hub.mobileconfig")

    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE.format(fingerprint=html.escape(spaced(authority.fingerprint))))

    return [Route(ROOT_PATH, root), Route(_APPLE_PATH, apple), Route(PAGE_PATH, page)]


def plain(handed_out: list[BaseRoute], tokens: Mapping[str, str], otherwise: ASGIApp) -> ASGIApp:
    """Return what answers who comes without TLS.

    Args:
        handed_out: routes that do.
        tokens: what ACME servers are answered (RFC 8555, section 8.3), by token.
        otherwise: answers everything else.
    """

    async def challenge(request: Request) -> Response:
        answer = tokens.get(request.path_params["token"])
        return Response(status_code=404) if answer is None else PlainTextResponse(answer)

    routes = [*handed_out, Route(f"{_ACME_PATH}/{{token}}", challenge), Mount("/", otherwise)]
    return SecurityHeaders(Starlette(routes=routes))


def spaced(fingerprint: str) -> str:
    """Return a fingerprint as browsers and phones show it: pairs in upper case."""
    return ":".join(fingerprint[at : at + 2] for at in range(0, len(fingerprint), 2)).upper()


def _download(content: bytes, kind: str, name: str) -> Response:
    return Response(
        content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def _profile(authority: Authority) -> bytes:
    """Return a profile that iOS, iPadOS and macOS install (Apple: Configuration Profile Reference)."""
    # The same each time, so that a second install replaces the first.
    number = uuid.uuid5(uuid.NAMESPACE_OID, authority.fingerprint)
    common: dict[str, Any] = {"PayloadVersion": 1, "PayloadDisplayName": "Plait hub"}
    root = common | {
        "PayloadType": "com.apple.security.root",
        "PayloadIdentifier": f"plait.hub.{number}.root",
        "PayloadUUID": str(uuid.uuid5(number, "root")).upper(),
        "PayloadContent": authority.pem,
    }
    return plistlib.dumps(
        common
        | {
            "PayloadType": "Configuration",
            "PayloadIdentifier": f"plait.hub.{number}",
            "PayloadUUID": str(number).upper(),
            "PayloadDescription": "Lets this device trust your Plait hub, and nobody else.",
            "PayloadContent": [root],
        }
    )


_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Trust this hub</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:16px/1.5 system-ui;margin:2rem auto;max-width:42rem;padding:0 1rem}}
code{{word-break:break-all}}a.b{{display:inline-block;padding:.6rem 1rem;background:#0b57d0;color:#fff;
border-radius:.4rem;text-decoration:none}}</style>
<h1>Trust this hub</h1>
<p>Its connections are encrypted with a certificate that it made itself. Install its authority once on each
phone and PC, and they know it for good. The authority may vouch for private addresses and this hub's own
names only.</p>
<p><a class="b" href="/ca.crt">Certificate</a>
<a class="b" href="/ca.mobileconfig">Profile for iPhone, iPad, Mac</a></p>
<h2>First compare</h2>
<p>The fingerprint that your device shows must be the one that the hub printed when it started
(<code>plait hub ca</code> prints it again). This page says, SHA-256:</p>
<p><code>{fingerprint}</code></p>
<h2>Then install</h2>
<ul>
<li><b>iPhone, iPad</b>: load the profile; Settings, Profile Downloaded, Install. Then Settings, General,
About, Certificate Trust Settings: switch it on.</li>
<li><b>Android</b>: load the certificate; Settings, search for "CA certificate", Install anyway.</li>
<li><b>Mac</b>: open the profile; System Settings, Privacy and Security, Profiles, Install.</li>
<li><b>Windows</b>: open the certificate; Install Certificate, Local Machine, Trusted Root Certification
Authorities.</li>
<li><b>Linux</b>: <code>sudo cp plait-hub.crt /usr/local/share/ca-certificates/ &amp;&amp;
sudo update-ca-certificates</code>; in Chromium: Settings, Privacy and security, Security, Manage
certificates, Custom, Import.</li>
<li><b>Firefox</b> (all systems): Settings, Privacy and Security, View Certificates, Authorities, Import.</li>
<li><b>A Plait device or program</b>: <code>PLAIT_CA=plait-hub.crt</code>.</li>
</ul></html>"""
