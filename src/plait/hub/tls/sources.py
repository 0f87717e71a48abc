"""Where a certificate comes from: the local authority, or the owner's files."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from plait.hub.tls import names
from plait.hub.tls.authority import Authority, Pair, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RENEW_BEFORE: Final = dt.timedelta(days=30)
"""So long before its end a certificate of the local authority is made anew."""

_log = structlog.get_logger("plait.hub")


class Challenged(Protocol):
    """Shows ACME servers that a name is ours: the door."""

    def show_challenge(self, name: str, certificate: bytes, key: bytes) -> None:
        """Show this certificate to who asks for the name by `acme-tls/1` (RFC 8737)."""

    def hide_challenge(self, name: str) -> None:
        """End that."""


class Source(ABC):
    """Gives the certificate that is due.

    Attributes:
        tokens: what ACME servers are answered by HTTP, by token.
        door: shows challenges; None before it is open.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.door: Challenged | None = None

    @abstractmethod
    def first(self) -> Pair:
        """Return the one to begin with.

        Raises:
            OSError, ValueError: there is none, and why.
        """

    @abstractmethod
    def newer(self) -> Pair | None:
        """Return the one that is due now, where that is another than the last; it may raise the same."""


class Local(Source):
    """Certificates by the hub's own authority, for where the hub is now."""

    def __init__(self, folder: Path, host: str, named: Sequence[str] = ()) -> None:
        """Open the authority, or make it.

        Args:
            folder: its own, inside the hub's data folder.
            host: where the hub listens.
            named: names and addresses under which the hub is reached, beside those that this machine knows.

        Raises:
            OSError, ValueError: see `Authority.open`; or a name is none that this authority may vouch for.
        """
        super().__init__()
        self._host = host
        self._named = [names.parse(name) for name in named]
        self.authority = Authority.open(folder, [*self._named, *names.of_machine(host)])
        for name in self._named:
            if not self.authority.may_vouch_for(name):
                made = self.authority.issuer.not_valid_before_utc.date()
                raise ValueError(
                    f"{name} is not among the names that the hub's authority (made {made}) may vouch for; "
                    f"rename {folder}, and the next start makes one that may, to be trusted anew"
                )
        self._chain, self._key = folder / "hub.crt", folder / "hub.key"
        self._left_out: set[names.Name] = set()
        self._leaf: x509.Certificate

    def first(self) -> Pair:
        """Return what was kept, where it is still good, else a fresh one."""
        try:
            pair = Pair(self._chain.read_bytes(), self._key.read_bytes())
            self._leaf = x509.load_pem_x509_certificate(pair.chain)
            self._leaf.verify_directly_issued_by(self.authority.issuer)
            whole = load_pem_private_key(pair.key, None).public_key() == self._leaf.public_key()
        except (FileNotFoundError, ValueError, TypeError, InvalidSignature):
            whole = False  # the first time; or another authority's; or a hub was killed between the two files
        if not whole:
            return self._issue(self._wanted())
        return self.newer() or pair

    def newer(self) -> Pair | None:
        """Return a fresh one where the last ends soon, or the hub has a name or an address that it lacks."""
        wanted = self._wanted()
        left = self._leaf.not_valid_after_utc - dt.datetime.now(dt.UTC)
        if left > RENEW_BEFORE and wanted <= self._covered():
            return None
        return self._issue(wanted)

    def _wanted(self) -> set[names.Name]:
        found = {*self._named, *names.of_machine(self._host)}
        wanted = {name for name in found if self.authority.may_vouch_for(name)}
        left_out, self._left_out = found - wanted - self._left_out, found - wanted
        if left_out:
            _log.info("not in the hub's certificate", names=sorted(map(str, left_out)))
        return wanted

    def _covered(self) -> set[names.Name]:
        found = self._leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {general.value for general in found}

    def _issue(self, wanted: set[names.Name]) -> Pair:
        pair = self.authority.issue(sorted(wanted, key=lambda name: (not isinstance(name, str), str(name))))
        self._leaf = x509.load_pem_x509_certificate(pair.chain)
        write(self._key, pair.key)
        write(self._chain, pair.chain)
        until = str(self._leaf.not_valid_after_utc.date())
        _log.info("a certificate was made", names=sorted(map(str, wanted)), until=until)
        return pair


class Files(Source):
    """The owner's files, read again when they change on disk."""

    def __init__(self, chain: Path, key: Path) -> None:
        super().__init__()
        self._paths = (chain, key)
        self._seen: tuple[object, ...] = ()

    def first(self) -> Pair:
        """Read them."""
        self._seen = self._state()
        return self._read()

    def newer(self) -> Pair | None:
        """Read them again where either has changed; what was written half, the next look finds whole."""
        state = self._state()
        if state == self._seen:
            return None
        pair = self._read()
        self._seen = state
        return pair

    def _read(self) -> Pair:
        return Pair(*(path.read_bytes() for path in self._paths))

    def _state(self) -> tuple[object, ...]:
        # Follows links: certbot's names stay, and point elsewhere after a renewal.
        stats = [path.stat() for path in self._paths]
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)
