from tomqueue.store.sql import SqlStore


class PostgresStore(SqlStore): ...
