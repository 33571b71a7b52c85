"""The command ``tomqueue``: its options, its commands, and how its errors look."""

import sys
import traceback
from typing import Any

import click

from tomqueue.cli.commands.doctor import doctor
from tomqueue.cli.commands.explain import explain
from tomqueue.cli.commands.health import check, stats, workers
from tomqueue.cli.commands.history import history
from tomqueue.cli.commands.jobs import clear, jobs
from tomqueue.cli.commands.keys import generate_key
from tomqueue.cli.commands.limits import limits
from tomqueue.cli.commands.queues import queues
from tomqueue.cli.commands.republish import republish
from tomqueue.cli.commands.run import run_commands
from tomqueue.cli.commands.schedules import schedules
from tomqueue.cli.commands.schema import migrate
from tomqueue.cli.commands.workflows import workflows
from tomqueue.cli.logs import configure_logs
from tomqueue.cli.output import one_line
from tomqueue.cli.target import Target
from tomqueue.errors import JobNotFound, SettingsError, TomQueueError
from tomqueue.store.open import masked

__all__ = ["command", "main"]

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
FAILED, USAGE, NOT_FOUND = 1, 2, 3
"""Exit codes beside 0: a check or the command failed; the command line or a setting is wrong; no such thing."""


class Failure(click.ClickException):
    """An error of a command on its way to the terminal."""

    def __init__(self, error: Exception) -> None:
        known = isinstance(error, TomQueueError)
        super().__init__(str(error) if known else f"unexpected {type(error).__name__}: {error} (see --log-level debug)")
        self.error = error

    @property
    def status(self) -> int:
        """The exit code."""
        if isinstance(self.error, SettingsError):
            return USAGE
        return NOT_FOUND if isinstance(self.error, JobNotFound) else FAILED


class CommandLine(click.Group):
    """A group whose errors are one line on standard error; a traceback comes with ``--log-level debug`` only."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command and exit with its status."""
        extra["standalone_mode"] = False
        try:
            status = super().main(*args, **extra)
        except click.Abort:
            status = told("aborted", FAILED)
        except click.UsageError as error:
            status = told(usage(error), USAGE)
        except Failure as error:
            status = told(error.message, error.status)
        except click.ClickException as error:
            status = told(error.format_message(), error.exit_code)
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what goes wrong into a Failure."""
        try:
            return super().invoke(ctx)
        except (click.Abort, click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params["log_level"] == "debug":
                click.echo(masked(traceback.format_exc()), err=True)
            raise Failure(error) from error


def told(message: str, status: int) -> int:
    """Print an error; return the exit code."""
    if message:
        click.echo(f"tomqueue: {one_line(masked(message))}", err=True)
    return status


def usage(error: click.UsageError) -> str:
    """Return the message of a wrong command line; the help itself where nothing was asked for."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()
        return ""
    path = error.ctx.command_path if error.ctx is not None else "tomqueue"
    return f"{error.format_message().rstrip('.')} (see `{path} --help`)"


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--app", envvar="TOMQUEUE_APP", metavar="MODULE:TQ", help="The application: package.module:tq.")
@click.option("--database-url", metavar="URL", help="A database instead of an application.")
@click.option(
    "--log-level",
    envvar="TOMQUEUE_LOG_LEVEL",
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    help="What is logged to standard error; debug shows tracebacks, too.",
)
@click.version_option(package_name="tomqueue", message="%(prog)s %(version)s")
@click.pass_context
def command(ctx: click.Context, app: str | None, database_url: str | None, log_level: str | None) -> None:
    """Background jobs that commit with your data."""
    if database_url is not None:
        if app is not None and ctx.get_parameter_source("app") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--app and --database-url are both given: an application has its database already")
        app = None
    if log_level is not None:
        configure_logs(log_level, as_json=False)
    ctx.obj = Target(app, database_url, log_level)
    ctx.call_on_close(ctx.obj.close)


looks = (jobs, history, queues, schedules, workflows, limits, workers, stats, check, doctor, explain)
for one in (migrate, *run_commands, *looks, republish, clear, generate_key):
    command.add_command(one)


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode is no reason to stop
    command()
