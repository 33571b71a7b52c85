"""Tables with millions of rows, made by the database itself in seconds."""

from sqlalchemy import text

from tomqueue.store.sql import SqlStore

COLUMNS = "queue, priority, name, payload, run_at, created_at, updated_at, announced_at, failed_at"
RECURSION = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {}) SELECT n FROM c"
NUMBERS = {
    "sqlite": RECURSION,
    "postgresql": "SELECT generate_series(1, {}) AS n",
    "mariadb": "SELECT seq AS n FROM seq_1_to_{}",
    "mysql": RECURSION,
}
MOMENTS = {
    "sqlite": "CAST(strftime('%s') AS INTEGER) * 1000000 + {} * 1000000 + n",
    "postgresql": "statement_timestamp() + {} * interval '1 second' + n * interval '1 microsecond'",
    "mysql": "UTC_TIMESTAMP(6) + INTERVAL {} SECOND + INTERVAL n MICROSECOND",
}
ANALYSE = {"sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE {}", "mysql": "ANALYZE TABLE {}"}


def fill(store: SqlStore, *, ready: int, future: int, failed: int) -> None:
    """Add rows: ready for an hour in one queue and priority, due tomorrow, failed; then let the planner count them.

    PostgreSQL also clears what earlier deletes left in its indexes: how much that is depends on nobody's statement.
    """
    dialect = store.engine.dialect.name
    before, after = (MOMENTS[dialect].format(shift) for shift in (-3600, 86400))
    maker = "mariadb" if getattr(store.engine.dialect, "is_mariadb", False) else dialect
    with store.writing() as connection:
        if maker == "mysql":
            connection.execute(text("SET SESSION cte_max_recursion_depth = 4294967295"))
        for count, columns in (
            (ready, f"'default', 1, 'greet', '{{}}', {before}, {before}, {before}, {before}, NULL"),
            (future, f"'default', n % 4, 'greet', '{{}}', {after}, {before}, {before}, NULL, NULL"),
            (failed, f"'default', n % 4, 'greet', '{{}}', {before}, {before}, {before}, NULL, {before}"),
        ):
            numbers = NUMBERS[maker].format(count)
            statement = f"INSERT INTO {store.jobs} ({COLUMNS}) SELECT {columns} FROM ({numbers}) AS numbers"
            connection.execute(text(statement))
    analyse(store)


def fill_held(store: SqlStore, count: int, key: str = "report", *, step: int | None = None) -> None:
    """Add rows that wait for a limit, due for an hour; then let the planner count them.

    With ``step`` it is not their turn yet in a workflow.
    """
    dialect = store.engine.dialect.name
    before = MOMENTS[dialect].format(-3600)
    maker = "mariadb" if getattr(store.engine.dialect, "is_mariadb", False) else dialect
    values = f"'default', 1, 'greet', '{{}}', {before}, {before}, {before}, true, true, '{key}', {step or 'NULL'}"
    columns = "queue, priority, name, payload, run_at, created_at, updated_at, held, tied, limit_key, waits_for_step"
    with store.writing() as connection:
        numbers = NUMBERS[maker].format(count)
        connection.execute(text(f"INSERT INTO {store.jobs} ({columns}) SELECT {values} FROM ({numbers}) AS numbers"))
    analyse(store)


def analyse(store: SqlStore) -> None:
    """Let the planner count the rows."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(ANALYSE[store.engine.dialect.name].format(store.jobs)))
