"""What ``tomqueue doctor`` examines: the two lists DATABASE and BROKER are the page."""

from collections.abc import Generator, Iterator

from tomqueue.cli.diagnosis.finding import Diagnosis, Level, guarded
from tomqueue.cli.diagnosis.of_broker import BROKER, WITH_TABLES
from tomqueue.cli.diagnosis.of_database import DATABASE, database, tables
from tomqueue.cli.target import Target
from tomqueue.errors import BrokerUnavailable, SettingsError

__all__ = ["BROKER", "DATABASE", "Diagnosis", "Level", "examine"]


def examine(target: Target) -> Iterator[tuple[str, Diagnosis]]:
    """Examine the database, then the broker. An examination that cannot be made says so, and the next follows."""
    has_tables = yield from examine_database(target)
    try:
        with target.broker() as broker:
            if broker is None:
                yield "broker", Diagnosis(Level.OK, "no broker: workers ask the database (setting broker_url)")
                return
            for name, seek in BROKER.items():
                if has_tables or seek not in WITH_TABLES:
                    for found in guarded(lambda seek=seek: seek(target, broker)):  # type: ignore[misc]
                        yield name, found
    except (BrokerUnavailable, SettingsError) as error:
        cure = "start it, or correct broker_url: until then jobs are enqueued and run without it, a little later"
        yield "broker", Diagnosis(Level.PROBLEM, str(error), cure)


def examine_database(target: Target) -> Generator[tuple[str, Diagnosis], None, bool]:
    """Examine the database; return whether its tables can be read, without which nothing else can be said of it."""
    for name, look in DATABASE.items():
        for found in guarded(lambda look=look: look(target)):  # type: ignore[misc]
            yield name, found
            if found.level is Level.PROBLEM and look in {database, tables}:
                return False
    return True
