"""`cldc completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cldc.cli import cli


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      cldc completion bash > ~/.local/share/bash-completion/completions/cldc
      cldc completion zsh > "${fpath[1]}/_cldc"
      cldc completion fish > ~/.config/fish/completions/cldc.fish
    """
    completer = get_completion_class(shell)
    assert completer is not None  # noqa: S101 - the choice above holds Click's own shells
    click.echo(completer(cli, {}, "cldc", "_CLDC_COMPLETE").source())
