from tomqueue.store.sql import SqlStore


class MysqlStore(SqlStore): ...
