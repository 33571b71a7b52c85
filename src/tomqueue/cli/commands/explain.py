"""``tomqueue explain``: why a job is not running."""

import click

from tomqueue.cli.commands.filters import JOB_ID
from tomqueue.cli.output import one_line, print_json
from tomqueue.cli.target import Target
from tomqueue.explain import explain as explain_job

__all__ = ["explain"]


@click.command()
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def explain(target: Target, job_id: int, *, as_json: bool) -> None:
    """Say why a job is not running, and what to do."""
    workers, keys = target.leases.all(), target.keyring.ids
    found = explain_job(job_id, target.catalog, workers, target.registry, target.store.now(), keys=keys)
    job = found.job
    if as_json:
        identity = {"id": job.id, "name": job.name, "queue": job.queue, "state": job.state}
        print_json({**identity, "findings": found.findings})
        return
    click.echo(one_line(f"job {job.id} {job.name} in queue {job.queue} is {job.state}"))
    for finding in found.findings:
        click.echo(f"- {one_line(finding.text)}")
        if finding.cure:
            click.echo(f"  → {one_line(finding.cure)}")
