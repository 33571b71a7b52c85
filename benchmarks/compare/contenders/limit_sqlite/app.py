"""The limit of SQLite by sqlite3: insert, claim and delete 256 rows a statement; no job system."""

import os
import sqlite3
import time

from verbs import Program, count_done

BATCH = 256
TABLE = """
CREATE TABLE jobs (id integer PRIMARY KEY, payload text NOT NULL, run_at integer NOT NULL, locked_by text)
"""
INDEX = "CREATE INDEX ready ON jobs (run_at, id) WHERE locked_by IS NULL"
INSERT = "INSERT INTO jobs (payload, run_at) VALUES (?, ?)"
CLAIM = """
UPDATE jobs SET locked_by = 'me' WHERE id IN
    (SELECT id FROM jobs WHERE locked_by IS NULL AND run_at <= ? ORDER BY run_at, id LIMIT ?) RETURNING id, payload
"""
own = {}


def connected():
    connection = sqlite3.connect(os.environ["SQLITE_FILE"], isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def start():
    own["connection"] = connected()


def set_up():
    own["connection"].execute(TABLE)
    own["connection"].execute(INDEX)


def enqueue(number):
    own["connection"].execute(INSERT, (str(number), time.time_ns()))


def enqueue_many(numbers):
    own["connection"].execute("BEGIN IMMEDIATE")
    own["connection"].executemany(INSERT, [(str(number), time.time_ns()) for number in numbers])
    own["connection"].execute("COMMIT")


def work():
    """Claim and commit, run, delete and commit."""
    connection = connected()
    while True:
        rows = connection.execute(CLAIM, (time.time_ns(), BATCH)).fetchall()
        for _row in rows:
            count_done()
        if rows:
            marks = ",".join("?" * len(rows))
            connection.execute(f"DELETE FROM jobs WHERE id IN ({marks})", [row[0] for row in rows])
        else:
            time.sleep(0.01)


program = Program(enqueue=enqueue, enqueue_many=enqueue_many, start=start, set_up=set_up)
