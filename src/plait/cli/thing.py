"""`plait thing`: run a user's own thing."""

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from plait.cli.talk import Authority, Folder, Hub, fail, parse
from plait.thing import Thing, run
from plait.thing.runner import collecting
from plait.wire.errors import InvalidValue

_MODULE = "plait_user_thing"


def command(
    file: Annotated[
        str, typer.Argument(metavar="FILE.py[:CLASS]", help="The file, and the class where it has several.")
    ],
    *,
    hub: Hub = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="PLAIT_TOKEN", help="The thing's token.")
    ] = None,
    ca: Authority = None,
    thing_id: Annotated[str | None, typer.Option("--id", help="Its id: that of its token.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="Its name for people.")] = None,
    folder: Folder = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A property's first value; repeatable."),
    ] = None,
) -> None:
    """Run a Thing class from a Python file, until Ctrl-C.

    A file that makes its own thing and runs it does the same here, with this hub and token.
    """
    path, _, name = file.rpartition(":") if ".py:" in file else (file, "", "")
    made, module = _load(Path(path))
    if made and not name and thing_id is None:
        things = made
        for thing in things:
            thing.title = title or thing.title
    else:
        things = [_make(_choose(module, name, path), thing_id, title)]
    for pair in values or ():
        _set(things[0], pair)
    run(*things, hub=hub, token=token, ca=ca, folder=folder)


def _load(path: Path) -> tuple[list[Thing], Any]:
    """Import a file; return the things that it wanted to run, and its module."""
    if not path.is_file():
        fail(f"there is no file {path}", code=2)
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        fail(f"{path} is not a Python file", code=2)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # type hints are resolved there
    sys.path.insert(0, str(path.parent.resolve()))  # as `python FILE.py` does
    try:
        with collecting() as made:
            spec.loader.exec_module(module)
    except SystemExit:
        pass
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        traceback.print_exception(error)
        fail(f"{path}: {error}", code=2)
    return made, module


def _choose(module: Any, name: str, path: str) -> type[Thing]:
    classes = {
        found.__name__: found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Thing) and found.__module__ == _MODULE
    }
    if name and name not in classes:
        fail(f"{path} has no Thing class {name}; it has {', '.join(classes) or 'none'}", code=2)
    if not classes:
        fail(f"{path} has no Thing class", code=2)
    if not name and len(classes) > 1:
        fail(f"{path} has several Thing classes: say which, as {path}:{next(iter(classes))}", code=2)
    return classes[name] if name else next(iter(classes.values()))


def _make(cls: type[Thing], thing_id: str | None, title: str | None) -> Thing:
    try:
        return cls(thing_id, title=title)
    except (TypeError, ValueError) as error:
        fail(f"{cls.__name__} cannot be made: {error}", code=2)


def _set(thing: Thing, pair: str) -> None:
    name, mark, text = pair.partition("=")
    declared = thing.definition.properties.get(name)
    if not mark or declared is None:
        fail(
            f"--set {pair}: {thing.title} has {', '.join(thing.definition.properties)}; write NAME=VALUE",
            code=2,
        )
    try:
        setattr(thing, declared.attribute, parse(text, declared.kind.schema))
    except InvalidValue as error:
        fail(f"--set {pair}: {error}", code=2)
