"""Starting things: `up`, and the process types that a Procfile names. Each runs by its own environment alone."""

from __future__ import annotations

import click

from hub.settings import load


@click.command()
@click.option("--demo", is_flag=True, help="Add simulated customers and agents, plainly labelled.")
@click.option("--verbose", is_flag=True, help="Show every line of every process, not only warnings.")
def up(demo: bool, verbose: bool) -> int:
    """Start everything in this folder and keep it running, until Ctrl-C.

    An embedded Valkey unless REDIS_URL is set, SQLite under var/ unless DATABASE_URL is set. Migrates, applies the
    configuration (and again whenever it is saved), starts web, router, worker, clock and desk, and prints where to
    go. PORT is the web's port, the desk takes the next one.
    """
    from mainstem.up import main

    return main(load(), demo=demo, verbose=verbose)


@click.command()
def web() -> int:
    """The edge: what providers, forms and chat pages call, on PORT."""
    from mainstem import web as process

    return process.main(load())


@click.command()
def desk() -> int:
    """The web desk, where agents answer, on MAINSTEM_DESK_PORT (PORT + 1)."""
    from mainstem import desk as process

    return process.main(load())


@click.command()
def router() -> int:
    """From the stream into customers, conversations and queues. Run as many as you like, anywhere."""
    from mainstem.processes import router as process

    return process(load())


@click.command()
def worker() -> int:
    """Sends replies and does what is due. Run as many as you like, anywhere."""
    from mainstem.processes import worker as process

    return process(load())


@click.command()
def clock() -> int:
    """Wakes the workers: reminders, expiries, the sweeper. One is enough; two do no harm."""
    from mainstem.processes import clock as process

    return process(load())


@click.command()
def pull() -> int:
    """Fetches what nobody brings: mailboxes, and accounts that are polled. One is enough."""
    from mainstem import pull as process

    return process.main(load())


@click.command()
def release() -> int:
    """Migrate the database and apply the configuration folder. Run it once for each deploy, before the processes."""
    from mainstem.prepare import release as process

    process(load())
    return 0


@click.command(hidden=True)
def prepare() -> int:
    """Migrate, apply, and tell `up` in one line of JSON what to show."""
    from mainstem.prepare import prepare as process

    process(load())
    return 0


@click.command(hidden=True)
def demo() -> int:
    """Simulated customers and agents, against the hub that runs in this folder."""
    from mainstem.demo import main

    return main(load())


@click.command(hidden=True)
def simulated() -> int:
    """The simulated providers of `up --demo`, which starts it."""
    from mainstem.demo_providers import main

    return main(load())
