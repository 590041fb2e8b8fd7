"""`cldc completion`, and the values that the shell completes."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

from cldc.cli import cli
from cldc.errors import CldcError

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offer(name: str, *, files: bool = False) -> Completion:
    """Complete from pairs of value and explanation."""

    def complete(
        _context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            # Accounts, ledger and environments take long to import, and only Tab needs them.
            from cldc.cli import completion_values  # noqa: PLC0415

            values = getattr(completion_values, name)()
            found = [CompletionItem(value, help=why) for value, why in values if value.startswith(incomplete)]
        except CldcError:
            found = []
        if files and not found:
            found.append(CompletionItem(incomplete, type="file"))
        return found

    return complete


competitions = _offer("competitions", files=True)
servers = _offer("servers")
accounts = _offer("accounts")
submissions = _offer("submissions")
pages = _offer("pages")
preflights = _offer("preflights", files=True)
environments = _offer("environments")


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
