"""Certificates for public names by ACME (RFC 8555), from Let's Encrypt or a server of one's own.

The server asks the hub itself whether a name is its own: by `acme-tls/1` on the hub's port where the world
sees it as 443 (RFC 8737), or by HTTP where it sees it as 80 (RFC 8555, section 8.3); either is enough. Until
the first certificate is there, and wherever it cannot be had, the local authority's stands in.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import structlog
from acme import client, crypto_util, errors, messages
from acme.challenges import HTTP01
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from plait.hub.tls import names, renewal
from plait.hub.tls.alpn import TLSALPN01, challenge_certificate
from plait.hub.tls.authority import Pair, private_pem, write
from plait.hub.tls.sources import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ORDER_WITHIN: Final = dt.timedelta(seconds=90)
ANSWER_WITHIN_S: Final = 20

ASK_AFTER_ORDER_S: Final = 6 * 3600.0
"""Seconds until the server is asked when to renew what it has just issued."""

ASK_AFTER_FAULT_S: Final = 3600.0
"""Seconds until a server that did not say when to renew is asked again."""

TRY_AGAIN_S: Final = (60.0, 900.0, 3600.0)
"""Seconds after the first, second and every later failure: Let's Encrypt takes five an hour for a name."""

_log = structlog.get_logger("plait.hub")


class Acme(Source):
    """Certificates for the hub's public names.

    Args:
        folder: where the account and the certificate are kept.
        named: the names; none of them an address.
        directory: the server's directory (RFC 8555, section 7.1.1).
        email: told to the server, for its warnings; "" for none.
        trusted: PEM file of who vouches for the server, where that is not the system's business.
        meanwhile: whose certificate stands in.
        clock: for tests.

    Raises:
        ValueError: there is no name, or one is none that ACME servers vouch for.
    """

    def __init__(
        self,
        folder: Path,
        named: Sequence[str],
        *,
        directory: str,
        email: str = "",
        trusted: Path | None = None,
        meanwhile: Source,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._names = [_public(name) for name in named]
        if not self._names:
            raise ValueError("ACME needs the hub's public names: tls_names")
        self._folder = folder / urlsplit(directory).netloc.replace(":", "_")
        self._directory, self._email, self._trusted = directory, email, trusted
        self._meanwhile = meanwhile
        self._clock = clock
        self._failures = 0
        self._try_at = 0.0
        self._pair: Pair | None = None
        self._leaf: x509.Certificate | None = None
        self._renew_at = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._ask_at = 0.0
        self._by_tls = True

    def first(self) -> Pair:
        """Return what was kept, else what stands in until `newer` has got one."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            pair = Pair((self._folder / "hub.crt").read_bytes(), (self._folder / "hub.key").read_bytes())
            leaf = x509.load_pem_x509_certificate(pair.chain)
            whole = load_pem_private_key(pair.key, None).public_key() == leaf.public_key()
        except (FileNotFoundError, ValueError, TypeError):
            return self._meanwhile.first()
        covered = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if not whole or not set(self._names) <= set(covered.get_values_for_type(x509.DNSName)):
            return self._meanwhile.first()
        if leaf.not_valid_after_utc <= dt.datetime.now(dt.UTC):
            return self._meanwhile.first()
        self._take(pair, leaf)
        return pair

    def newer(self) -> Pair | None:
        """Get one where none is there or the last nears its end; this may take a minute and a half.

        Raises:
            OSError: it could not be had, and why; it is tried again later.
        """
        if self._clock() < self._try_at or self.door is None:
            return self._unchanged()
        if self._pair is not None and self._leaf is not None and self._clock() >= self._ask_at:
            self._ask(self._pair, self._leaf)
        if dt.datetime.now(dt.UTC) < self._renew_at:
            return self._unchanged()
        try:
            pair = self._order()
        except (errors.Error, messages.Error, JoseError, requests.RequestException, ValueError) as error:
            wait = TRY_AGAIN_S[min(self._failures, len(TRY_AGAIN_S) - 1)]
            self._failures += 1
            self._try_at = self._clock() + wait
            self._by_tls = not self._by_tls  # perhaps the other port is the one that is open
            raise OSError(f"ACME, {', '.join(self._names)}: {_told(error)}; again in {wait:.0f} s") from error
        self._failures = 0
        return pair

    def _unchanged(self) -> Pair | None:
        return None if self._pair is not None else self._meanwhile.newer()

    def _take(self, pair: Pair, leaf: x509.Certificate) -> None:
        self._pair, self._leaf = pair, leaf
        lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        self._renew_at = leaf.not_valid_after_utc - lifetime / 3

    # The conversation with the server

    def _ask(self, pair: Pair, leaf: x509.Certificate) -> None:
        """Let the server say when to renew (RFC 9773); where it says nothing, it stays as it is."""
        try:
            network = self._network(JWKEC(key=self._account_key()))
            directory = client.ClientV2.get_directory(self._directory, network)
            at, again = renewal.ask(client.ClientV2(directory, network), pair.chain)
        except renewal.FAULTS as error:
            self._ask_at = self._clock() + ASK_AFTER_FAULT_S
            _log.info("the ACME server did not say when to renew", reason=_told(error))
            return
        self._ask_at = self._clock() + again
        if at is not None:
            self._renew_at = min(at, renewal.latest(leaf))
            _log.debug("the ACME server says when to renew", at=str(at))

    def _order(self) -> Pair:
        account = JWKEC(key=self._account_key())
        # An order that was refused is tried again without what it replaces: perhaps that was why.
        replaces = "" if self._leaf is None or self._failures else renewal.identifier(self._leaf)
        server = self._server(account, replaces)
        key = private_pem(ec.generate_private_key(ec.SECP256R1()))
        order = server.new_order(crypto_util.make_csr(key, self._names))
        try:
            for authorization in order.authorizations:
                self._answer(server, account, authorization)
            until = dt.datetime.now() + ORDER_WITHIN  # noqa: DTZ005 - the library compares it with its own
            order = server.poll_and_finalize(order, until)
        finally:
            self._hide()
        pair = Pair(order.fullchain_pem.encode(), key)
        leaf = x509.load_pem_x509_certificate(pair.chain)
        write(self._folder / "hub.key", pair.key)
        write(self._folder / "hub.crt", pair.chain)
        self._take(pair, leaf)
        # What it says of the new one may wait: one that always says "now" would get orders without end.
        self._ask_at = self._clock() + ASK_AFTER_ORDER_S
        _log.info("a certificate came by ACME", names=self._names, until=str(leaf.not_valid_after_utc.date()))
        return pair

    def _answer(
        self, server: client.ClientV2, account: JWKEC, authorization: messages.AuthorizationResource
    ) -> None:
        if authorization.body.status == messages.STATUS_VALID:
            return  # from an order before
        name = str(authorization.body.identifier.value)
        offered = {type(each.chall): each for each in authorization.body.challenges}
        order = (TLSALPN01, HTTP01) if self._by_tls else (HTTP01, TLSALPN01)
        chosen = next((offered[kind] for kind in order if kind in offered), None)
        if chosen is None:
            raise errors.Error(f"the server offers neither tls-alpn-01 nor http-01 for {name}")
        if isinstance(chosen.chall, TLSALPN01):
            assert self.door is not None  # noqa: S101 - `newer` has looked
            digest = chosen.chall.validation(account)
            self.door.show_challenge(name, *challenge_certificate(name, digest))
        else:
            self.tokens[chosen.chall.encode("token")] = chosen.chall.validation(account)
        server.answer_challenge(chosen, chosen.response(account))

    def _hide(self) -> None:
        self.tokens.clear()
        if self.door is not None:
            for name in self._names:
                self.door.hide_challenge(name)

    def _network(self, account: JWKEC) -> renewal.Network:
        verify: Any = True if self._trusted is None else str(self._trusted)  # a path, as requests takes it
        return renewal.Network(
            account, alg=ES256, verify_ssl=verify, user_agent="plait-hub", timeout=ANSWER_WITHIN_S
        )

    def _server(self, account: JWKEC, replaces: str) -> client.ClientV2:
        """Return the server, with our account; made there where it has none."""
        net = self._network(account)
        directory = client.ClientV2.get_directory(self._directory, net)
        net.replaces = replaces if renewal.is_offered(directory) else ""
        server = client.ClientV2(directory, net)
        wanted = messages.NewRegistration.from_data(email=self._email or None, terms_of_service_agreed=True)
        try:
            server.new_account(wanted)
        except errors.ConflictError as known:  # by this key: ours
            known_as = messages.RegistrationResource(body=messages.Registration(), uri=known.location)
            server.query_registration(known_as)
        return server

    def _account_key(self) -> ec.EllipticCurvePrivateKey:
        path = self._folder / "account.key"
        if not path.exists():
            write(path, private_pem(ec.generate_private_key(ec.SECP256R1())))
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path} is no key of ours")  # noqa: TRY004 - what is wrong is the file
        return key


def _public(text: str) -> str:
    name = names.parse(text)
    if not isinstance(name, str) or names.is_private(name) or "." not in name:
        raise ValueError(f"ACME servers vouch for public names only, not for {text}")
    return name


def _told(error: Exception) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, errors.ValidationError):
        return "; ".join(
            f"{authorization.body.identifier.value}: {challenge.error.detail}"
            for authorization in error.failed_authzrs
            for challenge in authorization.body.challenges
            if challenge.error is not None
        )
    if isinstance(error, messages.Error):
        return str(error.detail or error)
    return str(error) or type(error).__name__
