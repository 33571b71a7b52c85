"""``tomqueue doctor``: examine database and broker, and say what to do about what is wrong."""

import click

from tomqueue.cli.diagnosis import Diagnosis, Level, examine
from tomqueue.cli.output import one_line, print_json
from tomqueue.cli.target import Target
from tomqueue.store.open import masked

__all__ = ["doctor"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def doctor(target: Target, *, as_json: bool) -> None:
    """Examine database, broker and workers; say the cure of whatever is wrong; exit 1 at a problem."""
    found = [(name, without_secrets(one)) for name, one in examine(target)]
    ok = all(one.level is not Level.PROBLEM for _, one in found)
    if as_json:
        findings = [{"name": name, "level": one.level, "text": one.text, "cure": one.cure} for name, one in found]
        print_json({"ok": ok, "findings": findings})
    else:
        for name, one in found:
            click.echo(f"{one.level:9}{name:11}{one_line(one.text)}")
            if one.cure is not None:
                click.echo(f"{'':20}cure: {one_line(one.cure)}")
    if not ok:
        click.get_current_context().exit(1)


def without_secrets(one: Diagnosis) -> Diagnosis:
    """Return a diagnosis without passwords: drivers like to quote URLs."""
    return Diagnosis(one.level, masked(one.text), None if one.cure is None else masked(one.cure))
