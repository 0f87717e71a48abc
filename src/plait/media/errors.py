"""What can go wrong with a picture's source, as one tree. Each message is one line that a person can act on.

SourceError
├── SourceMissing      no such file or device                             permanent
├── SourceForbidden    it is there, and we may not open it                permanent
├── NotAVideo          it opened, and holds no picture that can be played permanent
├── SourceBusy         another program holds the device
├── SourceUnreachable  nobody answers at the address, or not in time
└── SourceBroken       it played, and then it ended or failed

A permanent one cannot be cured by trying again; the others are tried again, with a back-off.
"""

from __future__ import annotations

from typing import ClassVar


class SourceError(Exception):
    """Base of what a source raises.

    Attributes:
        permanent: trying again without changing something cannot help.
    """

    permanent: ClassVar[bool] = False


class SourceMissing(SourceError):
    """There is no such file or device."""

    permanent = True


class SourceForbidden(SourceError):
    """This user may not open it."""

    permanent = True


class NotAVideo(SourceError):
    """It holds no picture that can be played."""

    permanent = True


class SourceBusy(SourceError):
    """Another program holds the device."""


class SourceUnreachable(SourceError):
    """Nobody answers at the address, or not in time."""


class SourceBroken(SourceError):
    """It played, and then it ended or failed."""
