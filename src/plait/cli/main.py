"""`plait`: the verbs, in one table. Each is imported when it is used: `plait get` needs no web server."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from plait import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Verb:
    """One row of the table.

    Attributes:
        name: as it is typed.
        help: its line in `plait --help`.
        panel: the heading it stands under there.
    """

    name: str
    help: str
    panel: str

    @property
    def module(self) -> str:
        """The file that has it, with `command`, a function of typer options, or `app`, a `typer.Typer`."""
        return f"plait.cli.{self.name}"

    def load(self) -> Any:
        """Import it, and return it as a command.

        Raises:
            ModuleNotFoundError: what it needs is not installed.
        """
        module = importlib.import_module(self.module)
        app = getattr(module, "app", None)
        if not isinstance(app, typer.Typer):
            app = typer.Typer(add_completion=False)
            app.command(name=self.name)(module.command)
        command = get_command(app)
        command.name = self.name
        return command


_SEE: Final = "See and command things"
_RUN: Final = "Run the parts"
_TRY: Final = "Try it"

VERBS: Final = (
    Verb("things", "What there is, and what is online.", _SEE),
    Verb("get", "Read a thing's properties.", _SEE),
    Verb("set", "Write a property; prints what the device confirmed.", _SEE),
    Verb("invoke", "Run an action; prints its output.", _SEE),
    Verb("watch", "Follow a thing's values and events.", _SEE),
    Verb("send", "Send a file to a thing.", _SEE),
    Verb("pair", "Let one thing use another, without the hub too.", _SEE),
    Verb("unpair", "Take that back.", _SEE),
    Verb("hub", "Run a hub, and make credentials.", _RUN),
    Verb("thing", "Run your own thing from a Python file.", _RUN),
    Verb("camera", "Show a file, an address or a device as a camera.", _RUN),
    Verb("demo", "Start a hub and a small simulated household.", _TRY),
    Verb("doctor", "What works between here and the hub, and what to do where it does not.", _TRY),
    Verb("check", "Try the whole line on this machine, with figures.", _TRY),
)


class _Table(TyperGroup):
    """The verbs as typer commands, each imported when it is asked for."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the verbs that this installation has."""
        del ctx
        return [verb.name for verb in VERBS if find_spec(verb.module) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb; for the help, only its line."""
        verb = next((row for row in VERBS if row.name == cmd_name), None)
        if verb is None or find_spec(verb.module) is None:
            return None
        if self._listing:
            return TyperCommand(verb.name, help=verb.help, rich_help_panel=verb.panel)
        try:
            return verb.load()
        except ModuleNotFoundError as missing:
            ctx.fail(f"`plait {verb.name}` needs {missing.name}; install it with: pip install 'plait[all]'")

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing a verb."""
        self._listing = True
        super().format_help(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb; what is close to none is answered with all of them."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            ctx.fail(f"there is no `plait {args[0]}`; there is {', '.join(self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Table,
    name="plait",
    help="Plait: your devices, live. WebSocket for state and commands, WebRTC for video.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"plait {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version, and end.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    del version  # `_say_version` has seen to it


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 0, 1 (the hub or the thing said no) or 2 (a wrong command)."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="plait")
    except ImportError as error:
        if "_native" not in str(error):
            raise
        print(
            "plait: the native engine is not built here: `make setup`, or install a wheel.", file=sys.stderr
        )
        raise SystemExit(2) from None
