"""What tables are made of: the types of columns. Native types on servers; SQLite keeps instants as integers.

Those are microseconds since 1970, in UTC.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, String, Text, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

__all__ = ["EPOCH", "INNODB", "MYSQL", "Instant", "from_micros", "identity", "key", "long_text", "to_micros"]

MYSQL = {"mysql", "mariadb"}
INNODB: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Return microseconds since 1970 of an aware datetime."""
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds, in each database's best form."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the native column type of ``dialect``."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Turn an aware datetime into what the column stores."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return to_micros(value)
        if dialect.name in {"mysql", "mariadb"}:
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def process_result_value(
        self,
        value: datetime | int | None,
        dialect: Dialect,  # noqa: ARG002 - the value tells
    ) -> datetime | None:
        """Turn what the column stores into an aware datetime."""
        if value is None:
            return None
        if isinstance(value, int):
            return from_micros(value)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# names and keys compare byte by byte on every database: MySQL's default would call "A" and "a" the same queue
def key(length: int) -> String:
    """Return the type of a name or key: compared byte by byte."""
    plain = String(length)
    return plain.with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def long_text() -> Text:
    """Return the type of a payload or an error text (MySQL's TEXT would stop at 64 kB)."""
    return Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def identity() -> BigInteger:
    """Return the type of a 64-bit key that the database gives out."""
    return BigInteger().with_variant(Integer(), "sqlite")
