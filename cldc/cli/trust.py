"""`cldc trust`, `cldc trust approve`, `list` and `revoke`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.options import CommandGroup, command
from cldc.competition import load
from cldc.errors import ConfigurationError, UsageError
from cldc.render.document import Line
from cldc.render.trust import approvals_blocks, claims_blocks
from cldc.settings import PROJECT_FILE, read_project
from cldc.trust import foreign_owner, profile_claims

_YES = click.option("-y", "--yes", is_flag=True, help="Approve it without being asked.")
_PATH = click.argument("path", metavar="[PATH]", type=click.Path(path_type=Path), required=False)


@command(App, competition=False, cls=CommandGroup, invoke_without_command=True)
@_YES
def trust(app: App, *, yes: bool) -> None:
    """Approve what a project's cldc.toml may use.

    A cldc.toml that comes with a cloned repository can name a server, which gets your password, a script or a profile,
    which is run, and folders, which are read. It takes effect once you approve it here; where a command needs it, that
    command asks. The approval holds for this file and for what it names now: when a value, the script or the profile
    changes, you are asked again. What `cldc init` writes is approved.

    Without a subcommand, it approves the project of the working folder.

    \b
    Examples:
      cldc trust
    """
    if click.get_current_context().invoked_subcommand is None:
        _approve(app, _project(app), yes=yes)


@command(App, group=trust, competition=False)
@_PATH
@_YES
def approve(app: App, *, path: Path | None, yes: bool) -> None:
    """Show what a file would use, and approve it.

    PATH is a project's folder or its cldc.toml, by default that of the working folder, or a competition's profile: a
    server that only a profile names gets the password in CODALAB_PASSWORD once the profile is approved. A cldc.toml of
    another user counts once it is approved.

    \b
    Examples:
      cldc trust approve
      cldc trust approve class.toml
    """
    _approve(app, _file(app, path), yes=yes)


@command(App, group=trust, name="list", competition=False)
def list_(app: App) -> None:
    """List what is approved on this machine.

    \b
    Examples:
      cldc trust list
    """
    found = app.approvals.all()
    app.show({"approvals": found}, *approvals_blocks(found))


@command(App, group=trust, competition=False)
@_PATH
def revoke(app: App, *, path: Path | None) -> None:
    """Take an approval back; PATH is as for `cldc trust approve`.

    \b
    Examples:
      cldc trust revoke
    """
    chosen = _file(app, path)
    if not app.approvals.revoke(chosen):
        raise UsageError(f"{chosen} is not approved.", action="`cldc trust list` shows what is.")
    app.show({"revoked": chosen}, Line(f"Revoked the approval of {chosen}.", "good"))


def _approve(app: App, path: Path, *, yes: bool) -> None:
    if path.name == PROJECT_FILE:
        claims = read_project(path).claims
        needed = bool(claims) or foreign_owner(path) is not None
    else:
        load(str(path))  # raises for a profile that can't be used
        claims, needed = profile_claims(path), True
    if needed and not app.approvals.hold(path, claims):
        app.approve(path, claims, yes=yes)
    text = f"{path} is approved." if needed else f"Nothing in {path} needs approval."
    data = {"path": path, "approved": needed, "claims": claims}
    app.show(data, *claims_blocks(claims, None), Line(text, "good"))


def _file(app: App, path: Path | None) -> Path:
    """Find the file that a path means, which may no longer exist."""
    if path is None:
        return _project(app)
    path = path.absolute()
    is_file = path.is_file() or (path.suffix == ".toml" and not path.is_dir())
    return path if is_file else path / PROJECT_FILE


def _project(app: App) -> Path:
    """Find the project file in effect, or the nearest that belongs to another user.

    Raises:
        ConfigurationError: No project file was found.
    """
    settings = app.settings
    if settings.project is not None:
        return settings.project.path
    if settings.ignored:
        return settings.ignored[0][0]
    raise ConfigurationError(
        f"There is no {PROJECT_FILE} here or above.", action="Go to the project, or give the file's path."
    )
