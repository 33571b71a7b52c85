"""``tomqueue republish``: fill a fresh or failed-over broker from the database."""

from collections.abc import Sequence
from datetime import timedelta

import click

from tomqueue.cli.commands.filters import span_of_time
from tomqueue.cli.output import progress
from tomqueue.cli.target import Target
from tomqueue.transport.republisher import DEFAULT_RATE

__all__ = ["republish"]


@click.command()
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Of this queue; can be given several times.")
@click.option("--older-than", callback=span_of_time, metavar="1h", help="Created longer ago: 90s, 15m, 1h, 2d, 1w.")
@click.option("--rate", type=click.FloatRange(min=1), default=DEFAULT_RATE, show_default=True, help="Jobs a second.")
@click.pass_obj
def republish(target: Target, *, queues: Sequence[str], older_than: timedelta | None, rate: float) -> None:
    """Publish news of every ready job again, most urgent first: for a broker that is fresh or was failed over.

    News that comes twice is harmless: the row decides.
    """
    ready = target.catalog.queues.ready_counts()
    total = sum(count for queue, count in ready.items() if not queues or queue in queues)
    done = 0

    with progress(total, "republishing") as step:

        def tell(count: int) -> None:
            nonlocal done
            done += count
            step(count)

        try:
            target.tq.jobs.republish(queues, older_than=older_than, rate=rate, progress=tell)
        except KeyboardInterrupt:
            raise click.ClickException(f"stopped: {done:,} jobs were published anew, the rest was left alone") from None
    click.echo(f"published {done:,} jobs")
