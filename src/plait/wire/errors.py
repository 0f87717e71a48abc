"""Every failure that travels, as one tree, and its form on the wire: RFC 9457 problem details.

PlaitError
├── Offline            the thing is not connected                      503, retry
├── Timeout            no answer within the caller's deadline          504, retry
├── Busy               a bounded buffer is full                        503, retry
├── Expired            the command's deadline passed before it ran     410
├── OutcomeUnknown     it may have run; nobody can tell                500
├── SessionLost        the session could not be resumed                409, retry
├── LinkViolation      a channel of a link broke the rules             400
├── LinkLost           the link cannot go on: the far end began anew   409, retry
├── FileDamaged        a file is not what was offered                  422, retry
├── UnsupportedVersion the two sides have no protocol version in common 400
├── InvalidMessage     not a message of this protocol                  400
├── MessageTooLarge    over the size limit                             413
├── InvalidValue       breaks the affordance's data schema             422
├── InvalidDescription breaks Thing Description 1.1                    422
├── ReadOnly           the property cannot be written                  405
├── UnknownThing       no such thing                                   404
├── UnknownAffordance  the thing has no such property, action, event   404
├── UnknownOperation   the operation is not of this protocol           400
├── ActionFailed       the device's own code raised                    500
├── Unauthorized       no valid credential                             401
└── Forbidden          the credential does not allow this              403
    └── PermissionExpired  what one thing may do with another is over  403
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

_PREFIX = "urn:plait:problem:"


class Problem(msgspec.Struct, omit_defaults=True, frozen=True):
    """Problem details (RFC 9457), with two extension members.

    Attributes:
        type: `urn:plait:problem:NAME`; NAME is the stable code.
        title: the same for every problem of one type.
        status: the HTTP status that says it best.
        detail: what went wrong this time, for a person.
        field: JSON pointer (RFC 6901) to the offending member of the message, where there is one.
        retry: whether the same request may succeed later, unchanged.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    field: str | None = None
    retry: bool = False


class PlaitError(Exception):
    """Base of every error that Plait raises or sends."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    status: ClassVar[int] = 500
    retry: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, field: str | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.field = field

    def problem(self) -> Problem:
        """Return the form that travels."""
        return Problem(
            type=_PREFIX + self.code,
            title=self.title,
            status=self.status,
            detail=self.detail,
            field=self.field,
            retry=self.retry,
        )


class Offline(PlaitError):
    """The thing is not connected."""

    code, title, status, retry = "offline", "The thing is offline", 503, True


class Timeout(PlaitError, TimeoutError):
    """No answer came within the caller's deadline."""

    code, title, status, retry = "timeout", "No answer in time", 504, True


class Busy(PlaitError):
    """A bounded buffer is full."""

    code, title, status, retry = "busy", "Too much is waiting already", 503, True


class Expired(PlaitError):
    """The command's deadline passed before it ran; it was not run."""

    code, title, status = "expired", "The command is too old to run", 410


class OutcomeUnknown(PlaitError):
    """The command may have run, and nobody can tell."""

    code, title, status = "outcome-unknown", "It is not known whether the command ran", 500


class SessionLost(PlaitError):
    """The session could not be resumed; what was not acknowledged is told as not known."""

    code, title, status, retry = "session-lost", "The session could not be resumed", 409, True


class LinkViolation(PlaitError):
    """A channel of a link broke the rules; it has ended, and the others go on."""

    code, title, status = "link-violation", "The channel broke the link's rules", 400


class LinkLost(PlaitError):
    """The link cannot go on: the far end began anew, or may not be spoken to any more."""

    code, title, status, retry = "link-lost", "The link is lost", 409, True


class FileDamaged(PlaitError):
    """A file is not what was offered: its SHA-256 is another."""

    code, title, status, retry = "file-damaged", "The file is damaged", 422, True


class UnsupportedVersion(PlaitError):
    """The two sides have no version of the protocol in common; the detail names those of both."""

    code, title, status = "unsupported-version", "No protocol version in common", 400


class InvalidMessage(PlaitError):
    """The bytes are not a message of this protocol."""

    code, title, status = "invalid-message", "Not a valid message", 400


class MessageTooLarge(PlaitError):
    """The message is over the size limit."""

    code, title, status = "message-too-large", "The message is too large", 413


class InvalidValue(PlaitError):
    """The value breaks the affordance's data schema."""

    code, title, status = "invalid-value", "The value does not fit", 422


class InvalidDescription(PlaitError):
    """The description is not a valid Thing Description 1.1."""

    code, title, status = "invalid-description", "Not a valid Thing Description", 422


class ReadOnly(PlaitError):
    """The property cannot be written."""

    code, title, status = "read-only", "The property is read-only", 405


class UnknownThing(PlaitError):
    """The hub knows no such thing, or the caller may not know of it."""

    code, title, status = "unknown-thing", "No such thing", 404


class UnknownAffordance(PlaitError):
    """The thing has no such property, action or event."""

    code, title, status = "unknown-affordance", "The thing has nothing of that name", 404


class UnknownOperation(PlaitError):
    """The operation is not of this protocol, or not for this side."""

    code, title, status = "unknown-operation", "No such operation", 400


class ActionFailed(PlaitError):
    """The device's own code raised."""

    code, title, status = "action-failed", "The device could not do it", 500


class Unauthorized(PlaitError):
    """There is no valid credential."""

    code, title, status = "unauthorized", "Not logged in", 401


class Forbidden(PlaitError):
    """The credential does not allow this."""

    code, title, status = "forbidden", "Not allowed", 403


class PermissionExpired(Forbidden):
    """The time for which one thing may use another is over."""

    code, title, status = "permission-expired", "The permission has expired", 403


def _tree(base: type[PlaitError]) -> dict[str, type[PlaitError]]:
    known = {base.code: base}
    for child in base.__subclasses__():
        known |= _tree(child)
    return known


_BY_CODE: dict[str, Any] = _tree(PlaitError)


def from_problem(problem: Problem) -> PlaitError:
    """Return the typed error for problem details; an unknown type becomes a plain `PlaitError`."""
    kind: type[PlaitError] = _BY_CODE.get(problem.type.removeprefix(_PREFIX), PlaitError)
    return kind(problem.detail or problem.title, field=problem.field)
