"""`plait camera`: make any picture source a camera of the house."""

import sys
from typing import Annotated

import typer

from plait.cli.talk import Folder


def command(
    source: Annotated[
        str,
        typer.Option(help="A file, an rtsp:// or http:// address, a device like /dev/video0, or test:"),
    ],
    *,
    thing_id: Annotated[str, typer.Option("--id", help="Its id: that of its token.")] = "urn:dev:camera",
    title: Annotated[str, typer.Option(help="Its name for people.")] = "Camera",
    hub: Annotated[str | None, typer.Option(help="The hub's address.", envvar="PLAIT_HUB")] = None,
    token: Annotated[str | None, typer.Option(help="Its token; best given by PLAIT_TOKEN.")] = None,
    folder: Folder = None,
) -> None:
    """Show a file, an address or a device as a camera; what browsers play is passed through untouched."""
    try:
        from plait.media import SourceError
        from plait.thing.camera import Camera
    except ModuleNotFoundError as missing:
        print(f"plait camera: {missing}; install the extra: pip install 'plait[media]'", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        camera = Camera(thing_id, source=source, title=title)
    except (SourceError, ValueError) as error:
        print(f"{title}: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    camera.run(hub=hub, token=token, folder=folder)
