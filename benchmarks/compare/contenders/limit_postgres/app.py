"""The limit of PostgreSQL by psycopg: insert, claim and delete 256 rows a statement; no job system."""

import os
import time

import psycopg
from verbs import Program, count_done

URL, BATCH = os.environ["POSTGRES_URL"], 256
TABLE = """
CREATE TABLE jobs (id bigserial PRIMARY KEY, payload text NOT NULL, run_at timestamptz NOT NULL DEFAULT now(),
    locked_by text)
"""
INDEX = "CREATE INDEX ready ON jobs (run_at, id) WHERE locked_by IS NULL"
CLAIM = """
WITH claimed AS MATERIALIZED (
    SELECT id FROM jobs WHERE locked_by IS NULL AND run_at <= now() ORDER BY run_at, id LIMIT %s FOR UPDATE SKIP LOCKED)
UPDATE jobs SET locked_by = 'me' FROM claimed WHERE jobs.id = claimed.id RETURNING jobs.id, payload
"""
own = {}


def start():
    own["connection"] = psycopg.connect(URL, autocommit=True, prepare_threshold=0)


def set_up():
    own["connection"].execute(TABLE)
    own["connection"].execute(INDEX)


def enqueue(number):
    own["connection"].execute("INSERT INTO jobs (payload) VALUES (%s)", (str(number),))


def enqueue_many(numbers):
    payloads = [str(number) for number in numbers]
    own["connection"].execute("INSERT INTO jobs (payload) SELECT unnest(%s::text[])", (payloads,))


def work():
    """Claim and commit, run, delete and commit."""
    with psycopg.connect(URL, autocommit=True, prepare_threshold=0) as connection:
        while True:
            rows = connection.execute(CLAIM, (BATCH,)).fetchall()
            for _row in rows:
                count_done()
            if rows:
                connection.execute("DELETE FROM jobs WHERE id = ANY(%s)", ([row[0] for row in rows],))
            else:
                time.sleep(0.01)


program = Program(enqueue=enqueue, enqueue_many=enqueue_many, start=start, set_up=set_up)
