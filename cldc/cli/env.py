"""`cldc env list` and `cldc env remove`."""

from __future__ import annotations

import click

from cldc.cli import completion
from cldc.cli.app import App
from cldc.cli.options import command, group
from cldc.environments import list_environments, remove_environment
from cldc.render.document import Line, Table, moment


@group
def env() -> None:
    """List or remove the isolated environments.

    CodaLab and TensorFlow each have an environment of their own, created on first use in the data folder.

    \b
    Examples:
      cldc env list
    """


@command(App, group=env, name="list")
def list_(app: App) -> None:
    """List the existing environments.

    \b
    Examples:
      cldc env list
    """
    found = list_environments(app.home)
    rows = [(e.name, e.version, e.python_version, moment(e.made), str(e.path)) for e in found]
    table = Table(("name", "version", "Python", "created", "folder"), rows)
    app.show({"environments": found}, table if rows else Line("No environments yet."))


@command(App, group=env, competition=False)
@click.argument("name", shell_complete=completion.environments)
def remove(app: App, name: str) -> None:
    """Remove an environment by name or kind; it is created again when it is needed.

    \b
    Examples:
      cldc env remove tensorflow-2.5.0
    """
    gone = remove_environment(app.home, name)
    app.show({"removed": gone}, *(Line(f"Removed {path}.", "good") for path in gone))
