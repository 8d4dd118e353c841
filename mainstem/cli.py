"""The `mainstem` command. Commands are imported when they are called: `--help` answers at once.

What goes wrong by what was typed, set or found is one clear sentence and a non-zero exit: 2 for a command line that
cannot be understood, 1 for everything else, 130 after Ctrl-C. A traceback is a bug of ours.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

import click

# name -> (module in mainstem.commands, what it does). The order is the help page's.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "To use it": {
        "up": ("run", "Start everything in this folder and keep it running."),
        "say": ("talk", "Write one message as a customer, from this terminal."),
        "chat": ("talk", "Be a customer: what you type goes in, answers appear."),
        "receive": ("receive", "Be a webhook account's server: print what goes out."),
        "login": ("people", "Print a link that logs an agent in, once."),
        "password": ("people", "Set an agent's password for the desk."),
        "secret": ("people", "Print the secret that signs an account's requests."),
    },
    "To look": {
        "doctor": ("look", "What a crash of each part would cost, and what is not well."),
        "queues": ("look", "Who waits where, live."),
        "tail": ("look", "The stream, live: every message as it comes in."),
        "ledger": ("look", "Prove that nothing accepted is missing, for any day."),
        "report": ("report", "Figures over days: queues, agents, volumes."),
        "explain": ("configuration", "Why a conversation landed where it did."),
    },
    "To mend": {
        "config": ("configuration", "Check, apply, show and roll back the configuration."),
        "quarantine": ("records", "What could not be read: list, show, replay."),
        "customers": ("records", "Find, show, merge and unmerge customers."),
        "mail": ("mail", "Mailboxes: check, import .eml and mbox files."),
        "channel": ("channel", "Channels: what each can; check one of your own."),
        "slack": ("slack", "Agents on Slack: run, check, repair, manifest, preview."),
    },
    "Processes (the Procfile's)": {
        "release": ("run", "Migrate the database and apply the configuration."),
        "web": ("run", "The edge: what providers, forms and chat pages call."),
        "router": ("run", "From the stream into customers, conversations, queues."),
        "worker": ("run", "Sends replies and does what is due."),
        "clock": ("run", "Wakes the workers: reminders, expiries, the sweeper."),
        "pull": ("run", "Fetches what nobody brings: mailboxes, accounts that poll."),
        "desk": ("run", "The web desk, where agents answer."),
    },
}
HIDDEN = {
    "prepare": ("run", "What `up` does before it starts the processes."),
    "pulls": ("mail", "Is there a mailbox to read? `up` asks after a change."),
    "demo": ("run", "Simulated customers and agents."),
    "simulated": ("run", "The simulated providers of `up --demo`."),
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()} | HIDDEN


_NO_PORT = {
    errno.EADDRINUSE: "another program listens there",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class Commands(click.Group):
    """A group that imports a command when it is called and knows every command's line without."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"mainstem.commands.{COMMANDS[cmd_name][0]}"), cmd_name
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], [*COMMANDS], n=1)
            raise click.UsageError(
                f"There is no command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, entry[1]) for name, entry in commands.items()], col_max=12)


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="mainstem", message="Mainstem %(version)s")
def cli() -> None:
    """Mainstem: every word of every customer, on any channel, in one stream.

    Start with `mainstem up`. Settings come from the environment (docs/operations.md lists them), the configuration from
    config/*.yaml.
    """


def main(arguments: list[str] | None = None) -> None:
    """The console script. Ends the process."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="mainstem", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message())
        return 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "mainstem"
        return _complain(f"{error.format_message()} (`{where} --help` says more)", 2)
    except click.ClickException as error:
        return _complain(error.format_message(), 1)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:  # `mainstem tail | head` is content
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        return _complain(sentence, 1)


def _complain(sentence: str, code: int) -> int:
    click.secho(sentence, err=True, fg="red")
    return code


def _sentence(error: Exception) -> str | None:
    """What to tell a person of errors that are nobody's bug; None of those that are ours."""
    from hub.errors import MainstemError

    if isinstance(error, MainstemError):
        return str(error)
    if (redis := sys.modules.get("redis")) is not None and isinstance(error, redis.RedisError):
        return f"Redis does not answer: {error}"
    if (alchemy := sys.modules.get("sqlalchemy.exc")) is not None and isinstance(
        error, (alchemy.OperationalError, alchemy.InterfaceError)
    ):
        return f"the database does not answer: {error.orig}"
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return "what was typed is no UTF-8"  # bytes that Python could not read stand in its arguments as surrogates
    if isinstance(error, OSError) and error.errno in _NO_PORT:
        return (
            f"the port cannot be had ({_NO_PORT[error.errno]}): set PORT, MAINSTEM_DESK_PORT or MAINSTEM_HOST"
        )
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return None
