"""Thing Descriptions (W3C WoT TD 1.1): builders for what a thing says of itself.

A description is plain JSON data, since descriptions of others hold members that Plait does not know and must
pass on. The builders give the members that Plait fills in; section numbers are those of the Recommendation
(https://www.w3.org/TR/wot-thing-description11/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from plait.wire import messages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.wire.schema import Schema

Affordance = dict[str, Any]
"""A property, action or event of a description (section 5.3.1)."""

Description = dict[str, Any]
"""A whole Thing Description."""

CONTEXT: Final = "https://www.w3.org/2022/wot/td/v1.1"
"""The `@context` of TD 1.1; without it a description is not one."""

_WEBSOCKET: Final = {
    "href": "/ws",
    "subprotocol": messages.SUBPROTOCOL_JSON,
    "contentType": "application/json",
}


def thing_href(thing_id: str) -> str:
    """Return where a hub serves a thing: a path, relative to the description's `base`."""
    return f"/things/{quote(thing_id, safe='')}"


def property_affordance(
    thing_id: str, name: str, schema: Schema, *, read_only: bool = False, **members: Any
) -> Affordance:
    """Describe a property (section 5.3.1.3): its data schema, and the forms by which a hub serves it.

    Args:
        thing_id: the thing's id.
        name: the property's name.
        schema: its data schema.
        read_only: whether apps cannot write it.
        members: what else to say, such as title, description and unit; None and "" are left out.
    """
    operations = ["readproperty"] if read_only else ["readproperty", "writeproperty"]
    return {
        **schema,
        **_given(members),
        "readOnly": read_only,
        "observable": True,
        "forms": [
            _http(f"{thing_href(thing_id)}/properties/{quote(name, safe='')}", operations),
            _websocket([*operations, "observeproperty", "unobserveproperty"]),
        ],
    }


def action_affordance(
    thing_id: str,
    name: str,
    *,
    input_schema: Schema | None = None,
    output_schema: Schema | None = None,
    safe: bool = False,
    idempotent: bool = False,
    **members: Any,
) -> Affordance:
    """Describe an action (section 5.3.1.4).

    Args:
        thing_id: the thing's id.
        name: the action's name.
        input_schema: the data schema of its input; None where it takes none.
        output_schema: the data schema of its output; None where it gives none.
        safe: it changes nothing.
        idempotent: doing it twice is doing it once.
        members: what else to say, such as title and description; None and "" are left out.
    """
    return {
        **_given(members),
        **({} if input_schema is None else {"input": input_schema}),
        **({} if output_schema is None else {"output": output_schema}),
        "safe": safe,
        "idempotent": idempotent,
        "forms": [
            _http(f"{thing_href(thing_id)}/actions/{quote(name, safe='')}", ["invokeaction"]),
            _websocket(["invokeaction"]),
        ],
    }


def event_affordance(data: Schema | None = None, **members: Any) -> Affordance:
    """Describe an event (section 5.3.1.5); it is told over the WebSocket alone.

    Args:
        data: the data schema of what it carries; None where it carries nothing.
        members: what else to say, such as title and description; None and "" are left out.
    """
    return {
        **_given(members),
        **({} if data is None else {"data": data}),
        "forms": [_websocket(["subscribeevent", "unsubscribeevent"])],
    }


def thing_description(
    thing_id: str,
    title: str,
    *,
    types: Sequence[str] = (),
    context: Sequence[Any] = (),
    base: str | None = None,
    secure: bool = True,
    properties: Mapping[str, Affordance] | None = None,
    actions: Mapping[str, Affordance] | None = None,
    events: Mapping[str, Affordance] | None = None,
    links: Sequence[Mapping[str, Any]] = (),
    **members: Any,
) -> Description:
    """Describe a thing (section 5.3.1.1) that a hub serves.

    Args:
        thing_id: its id, a URI.
        title: its name for people.
        types: its `@type`, such as `Camera` or terms of vocabularies in `context`.
        context: further `@context` entries beside TD 1.1's own.
        base: the URL of the hub; the forms are relative to it.
        secure: the hub asks for a bearer token (RFC 6750); otherwise it asks for nothing.
        properties: affordances by name; so `actions` and `events`.
        actions: see `properties`.
        events: see `properties`.
        links: web links to other things or to documents (section 5.3.4.1).
        members: what else to say, such as description or support; None and "" are left out.
    """
    scheme = "bearer_sc" if secure else "nosec_sc"
    definition = {"scheme": "bearer", "in": "header"} if secure else {"scheme": "nosec"}
    forms = [
        _http(f"{thing_href(thing_id)}/properties", ["readallproperties"]),
        _websocket(
            [
                "readallproperties",
                "observeallproperties",
                "unobserveallproperties",
                "subscribeallevents",
                "unsubscribeallevents",
            ]
        ),
    ]
    return {
        "@context": [CONTEXT, *context] if context else CONTEXT,
        **({"@type": list(types)} if types else {}),
        "id": thing_id,
        "title": title,
        **_given(members),
        **_given({"base": base}),
        "securityDefinitions": {scheme: definition},
        "security": [scheme],
        "properties": dict(properties or {}),
        "actions": dict(actions or {}),
        "events": dict(events or {}),
        **({"links": [dict(link) for link in links]} if links else {}),
        "forms": forms,
    }


def _http(href: str, operations: Sequence[str]) -> dict[str, Any]:
    return {"href": href, "contentType": "application/json", "op": list(operations)}


def _websocket(operations: Sequence[str]) -> dict[str, Any]:
    return {**_WEBSOCKET, "op": list(operations)}


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None and value != ""}
