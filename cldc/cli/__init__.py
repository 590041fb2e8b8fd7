"""The command line. Each command is a module, imported only when it runs."""

from __future__ import annotations

import importlib

import click

from cldc import __version__

# The sections of `cldc --help`, and in each its commands in the order in which people meet them, with their modules and
# their help. A test compares this help with the commands' own.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("init", "Start a project in this folder: cldc.toml and .gitignore."),
        "download": ("download", "Fetch the organisers' starting dataset, label book and script."),
        "sample": ("sample", "Draw a dataset to try things with."),
        "doctor": ("doctor", "Check what cldc needs, and say what is wrong."),
    },
    "Improve a dataset": {
        "import": (
            "import_",
            "Add photos, scans and PDF pages to a dataset, as PNGs like the competition's.",
        ),
        "validate": ("validate", "Check a dataset by the rules of the training script."),
        "labels": ("labels", "List labels that look wrong, without a training."),
        "review": (
            "review",
            "Look at the images in the browser, and decide about labels, copies and splits.",
        ),
        "split": ("split", "Draw train and val again, never with the same drawing in both."),
        "apply": (
            "apply",
            "Carry out what was decided about images: relabel, move to another split, set aside.",
        ),
        "preflight": ("preflight", "Train on a dataset as the competition does."),
        "compare": ("compare", "Show what changed between two datasets, and which is better."),
        "history": ("history", "List preflights and submissions with their scores."),
    },
    "Submit it": {
        "login": ("login", "Check an account and remember it in the keyring."),
        "package": ("package", "Write the zip to hand in without a server."),
        "submit": ("submit", "Submit a dataset, exactly once."),
        "status": ("submissions", "Show the progress of your submissions."),
        "watch": ("submissions", "Follow your submissions until they are scored."),
        "leaderboard": ("leaderboard", "Show the competition's leaderboard with your rows marked."),
        "quota": ("submissions", "Show how many submissions are left."),
        "open": ("open", "Open a submission or the guide in the browser."),
        "withdraw": ("submissions", "Remove the tag of a submission."),
        "clean": ("submissions", "Remove from the server what no submission of yours needs."),
    },
    "Rehearse, teach": {
        "sandbox": ("sandbox", "A whole CodaLab on this machine, to rehearse on."),
        "organise": ("organise", "Run the competition for a class, with or without a CodaLab."),
    },
    "Accounts and this machine": {
        "whoami": ("login", "Show server, account, and its disk and time quotas."),
        "logout": ("login", "Forget an account."),
        "trust": ("trust", "Approve what a project's cldc.toml may use."),
        "ledger": ("ledger", "The record of your submissions on this machine."),
        "env": ("env", "List or remove the isolated environments."),
        "completion": ("completion", "Print the completion script of a shell."),
    },
}
COMMANDS = {name: found for commands in SECTIONS.values() for name, found in commands.items()}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name; without one, raise an error that suggests the nearest."""
        if cmd_name.startswith("-"):
            return None
        if cmd_name not in COMMANDS:
            import difflib  # noqa: PLC0415 - seldom needed, and every start would pay for it

            close = difflib.get_close_matches(cmd_name, COMMANDS, n=1, cutoff=0.5)
            hint = f" Perhaps you meant {close[0]!r}." if close else ""
            raise click.UsageError(f"There is no command {cmd_name!r}.{hint}", ctx)
        module = importlib.import_module(f"cldc.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        assert isinstance(command, click.Command)  # noqa: S101 - the table above names commands
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, without importing any of them."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A quick start, settings and exit codes are in the documentation (docs/).",
)
@click.version_option(__version__, "-V", "--version", message="cldc %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """From a folder of images to a scored CodaLab submission.

    Without a command, shows the project's state and the next command to run.

    \b
    Examples:
      cldc sample my-images
      cldc validate my-images
      cldc submit my-images --server sandbox
    """
    if context.invoked_subcommand is None:
        from cldc.cli.overview import run  # noqa: PLC0415 - as every command's module

        run(context)
