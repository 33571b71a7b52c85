"""``tomqueue migrate``: create and upgrade the tables."""

import click

from tomqueue.cli.output import print_json
from tomqueue.cli.target import Target
from tomqueue.store.migrate import migrate as migrate_tables
from tomqueue.store.migrate import statements

__all__ = ["migrate"]


@click.command()
@click.option("--sql", is_flag=True, help="Print the SQL of a fresh installation instead; nothing is connected.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def migrate(target: Target, *, sql: bool, as_json: bool) -> None:
    """Create TomQueue's tables, or bring them to this version.

    It is safe to repeat, and two at once take turns.
    """
    store = target.bare_store
    if sql:
        for statement in statements(store.engine, store.tables):
            click.echo(f"{statement};\n")
        return
    before, after = migrate_tables(store.engine, store.tables)
    if as_json:
        print_json({"database": target.place, "from": before, "to": after})
    else:
        click.echo(f"{target.place}: {told(before, after)}")


def told(before: int | None, after: int) -> str:
    """Say what a migration did."""
    if before is None:
        return f"created the tables (version {after})"
    if before == after:
        return f"nothing to do, the tables have version {after}"
    return f"upgraded the tables from version {before} to {after}"
