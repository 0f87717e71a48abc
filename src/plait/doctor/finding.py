"""What an examination found: one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Verdict = Literal["pass", "warn", "fail", "skip"]
"""It works; it works, with a disadvantage; it does not, and people need it; it was not looked at."""

_GRAVITY: Final = {"skip": 0, "pass": 1, "warn": 2, "fail": 3}


class Finding(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """One line of a report.

    Attributes:
        name: what was looked at, in a word or two.
        verdict: see above.
        said: what was found, in words.
        advice: what to do about it; always there where the verdict is `fail`.
        figures: the same for programs: names and values of each examination's own.
    """

    name: str
    verdict: Verdict
    said: str
    advice: str = ""
    figures: dict[str, Any] = {}


def passed(name: str, said: str, advice: str = "", figures: Mapping[str, Any] | None = None) -> Finding:
    """Return a finding that it works."""
    return Finding(name=name, verdict="pass", said=said, advice=advice, figures=dict(figures or {}))


def warned(name: str, said: str, advice: str = "", figures: Mapping[str, Any] | None = None) -> Finding:
    """Return a finding that it works, with a disadvantage."""
    return Finding(name=name, verdict="warn", said=said, advice=advice, figures=dict(figures or {}))


def failed(name: str, said: str, advice: str, figures: Mapping[str, Any] | None = None) -> Finding:
    """Return a finding that it does not work; there is always something to do about that."""
    return Finding(name=name, verdict="fail", said=said, advice=advice, figures=dict(figures or {}))


def skipped(name: str, said: str, advice: str = "", figures: Mapping[str, Any] | None = None) -> Finding:
    """Return that it was not looked at, and why."""
    return Finding(name=name, verdict="skip", said=said, advice=advice, figures=dict(figures or {}))


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the gravest verdict; `pass` where there is none."""
    return max((each.verdict for each in findings), key=_GRAVITY.__getitem__, default="pass")


def ms(seconds: float) -> str:
    """Return a time as people read it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def endpoint(address: tuple[str, int]) -> str:
    """Return an address and port as people write them."""
    ip, port = address
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
