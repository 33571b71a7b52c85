"""Commands that start processes: run, work, deferred, workoff; and the two hidden ones that these execute."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from tomqueue.cli.logs import configure_logs
from tomqueue.cli.pools import worker_options, workers
from tomqueue.cli.target import Target
from tomqueue.daemon.child import leave, run_child
from tomqueue.daemon.crew import Place
from tomqueue.daemon.description import Description
from tomqueue.daemon.reload import Reload
from tomqueue.daemon.spec import EXIT_DATABASE_AWAY, ChildSpec, Kind
from tomqueue.daemon.supervisor import Supervisor
from tomqueue.errors import SettingsError, StoreUnavailable, TomQueueError
from tomqueue.reporting import Reporting
from tomqueue.settings import Settings
from tomqueue.store.open import ready_store
from tomqueue.worker.options import WorkerOptions

__all__ = ["run_commands"]

exit_on_complete = click.option(
    "--exit-on-complete", "until_idle", is_flag=True, help="End when nothing is ready, as workoff does."
)
with_json_logs = click.option("--json-logs", is_flag=True, help="Log one JSON object a line.")


@click.command()
@worker_options
@exit_on_complete
@click.option("--reload", "reloads", is_flag=True, help="Restart the workers when a Python file changes (development).")
@click.option(
    "--reload-dir",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Watch this folder, also several times. Default: the current one.",
)
@with_json_logs
@click.pass_obj
def run(
    target: Target, /, *, json_logs: bool, until_idle: bool, reloads: bool, folders: tuple[Path, ...], **options: Any
) -> None:
    """Run workers, and with a broker a deferred process, until TERM or Ctrl-C (twice: at once). HUP restarts them."""
    if folders and not reloads:
        raise click.UsageError("--reload-dir needs --reload")
    reload = (folders or (Path(),)) if reloads else ()
    places = workers(until_idle=until_idle, **options)

    def with_announcer(settings: Settings) -> list[Place]:
        announces = settings.broker_url and not until_idle
        return places + (announcer(options["name"]) if announces else [])

    supervise(target, with_announcer, json_logs=json_logs, reload=reload)


@click.command()
@worker_options
@exit_on_complete
@with_json_logs
@click.pass_obj
def work(target: Target, /, *, json_logs: bool, **options: Any) -> None:
    """Run workers only."""
    places = workers(**options)
    supervise(target, lambda _settings: places, json_logs=json_logs)


@click.command()
@worker_options
@with_json_logs
@click.pass_obj
def workoff(target: Target, /, *, json_logs: bool, **options: Any) -> None:
    """Run workers until nothing is ready."""
    places = workers(until_idle=True, **options)
    supervise(target, lambda _settings: places, json_logs=json_logs)


@click.command()
@with_json_logs
@click.pass_obj
def deferred(target: Target, /, *, json_logs: bool) -> None:
    """Run only the process that announces to the broker what becomes due. One leads at a time, others stand by."""

    def places(settings: Settings) -> list[Place]:
        if not settings.broker_url:
            raise SettingsError("no broker: set broker_url; without one the workers find what is due by themselves")
        return announcer()

    supervise(target, places, json_logs=json_logs)


def announcer(name: str | None = None) -> list[Place]:
    """Return the place of a deferred process."""
    return [Place(WorkerOptions(), kind=Kind.DEFERRED, name=None if name is None else f"{name}.deferred")]


def supervise(
    target: Target, places: Callable[[Settings], list[Place]], *, json_logs: bool, reload: Sequence[Path] = ()
) -> None:
    """Become the supervisor of the processes that ``places`` names for the application's settings.

    They are restarted when a Python file below one of the folders ``reload`` changes.
    """
    if target.app_spec is None:
        target.app()  # says how to name an application
    app, level = str(target.app_spec), target.log_level or "info"
    configure_logs(level, as_json=json_logs)
    reporting = Reporting(logging.getLogger("tomqueue"))
    watch = Reload(reload, reporting.logger, report=reporting.report) if reload else None
    settings = described(app).wait()
    to_fill = places(settings)
    base = [*ourselves(app, level), "child", *(["--json-logs"] if json_logs else [])]
    store = ready_store(settings)
    try:
        supervisor = Supervisor(
            store, settings, to_fill, lambda spec: [*base, spec.encoded()],
            reporting.logger, report=reporting.report, describe=lambda: described(app), watch=watch,
        )  # fmt: skip
        reporting.logger.info("starting %d processes", len(to_fill))
        if not supervisor.run():
            raise TomQueueError("the processes could not be started; they wrote why above")
    finally:
        store.close()


def ourselves(app: str, level: str) -> list[str]:
    """Return the command line that starts this command again for a child."""
    return [sys.executable, "-m", "tomqueue", "--app", app, "--log-level", level]


def described(app: str) -> Description:
    """Ask an application for its settings, in a short-lived process: the supervisor never imports it."""
    return Description(lambda descriptor: [*ourselves(app, "warning"), "describe", str(descriptor)])


@click.command(hidden=True)
@click.argument("descriptor", type=int)
@click.pass_obj
def describe(target: Target, descriptor: int) -> None:
    """Write the settings of the application, as JSON, to a pipe: a password in them is in no process list."""
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(msgspec.json.encode(target.app().supervisor_settings()))
    leave()


@click.command(hidden=True)
@click.option("--json-logs", is_flag=True)
@click.argument("spec")
@click.pass_obj
def child(target: Target, spec: str, *, json_logs: bool) -> None:
    """Be one child process."""
    configure_logs(target.log_level or "info", as_json=json_logs)
    try:
        run_child(target.app().tools(), ChildSpec.decoded(spec))
    except StoreUnavailable as error:
        logging.getLogger("tomqueue").error("the database is away: %s", error)  # noqa: TRY400 - one line will do
        leave(EXIT_DATABASE_AWAY)
    leave()


run_commands: list[click.Command] = [run, work, deferred, workoff, describe, child]
