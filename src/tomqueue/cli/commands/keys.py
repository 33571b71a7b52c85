"""``tomqueue generate-key`` and ``tomqueue jobs reencrypt``: the keys that arguments are encrypted with."""

import click

from tomqueue.cli.output import print_json
from tomqueue.cli.target import Target
from tomqueue.payload import new_key
from tomqueue.store.sealed import Reencrypted, Sealed

__all__ = ["generate_key", "reencrypt"]


@click.command("generate-key")
def generate_key() -> None:
    """Print a new key for TOMQUEUE_ENCRYPTION_KEYS. It is kept nowhere: who loses it loses the jobs."""
    click.echo(new_key())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def reencrypt(target: Target, *, as_json: bool) -> None:
    """Encrypt every job that does not run with the first key, after it was put there; exit 1 if some could not be.

    With the application also those of jobs that say encrypt=True and are not encrypted yet.
    """
    keyring, registry = target.keyring, target.registry
    keyring.check()
    done = Sealed(target.store).reencrypt(keyring, [] if registry is None else registry.encrypted())
    if as_json:
        print_json({"key": keyring.ids[0], **done._asdict()})
    else:
        click.echo(f"encrypted {done.jobs:,} {'job' if done.jobs == 1 else 'jobs'} with the key {keyring.ids[0]}")
        tell_rest(done)
    if done.unknown_keys or done.unreadable:
        click.get_current_context().exit(1)


def tell_rest(done: Reencrypted) -> None:
    """Say which jobs keep what they have, and what to do."""
    if done.running:
        click.echo(f"{done.running:,} are running and keep theirs: say this again before you take a key out", err=True)
    for key, count in sorted(done.unknown_keys.items()):
        click.echo(f"{count:,} need the key {key}, which is not here: add it to encryption_keys", err=True)
    if done.unreadable:
        click.echo(f"{done.unreadable:,} cannot be decrypted: they were changed in the database", err=True)
