"""The limit of MariaDB by mysqlclient: insert, claim and delete 256 rows a statement; no job system."""

import os
import time
from urllib.parse import urlsplit

import MySQLdb
from verbs import Program, count_done

BATCH = 256
TABLE = """
CREATE TABLE jobs (id bigint AUTO_INCREMENT PRIMARY KEY, payload text NOT NULL,
    run_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), locked_by varchar(20),
    KEY ready (locked_by, run_at, id)) ENGINE = InnoDB
"""
CLAIM = """
SELECT id, payload FROM jobs WHERE locked_by IS NULL AND run_at <= CURRENT_TIMESTAMP(6)
ORDER BY run_at, id LIMIT %s FOR UPDATE SKIP LOCKED
"""
own = {}


def connected():
    url = urlsplit(os.environ["MYSQL_URL"])
    connection = MySQLdb.connect(
        host=url.hostname, port=url.port, user=url.username, password=url.password, database=url.path[1:]
    )
    connection.cursor().execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    return connection


def start():
    own["connection"] = connected()
    own["cursor"] = own["connection"].cursor()


def set_up():
    own["cursor"].execute(TABLE)


def enqueue(number):
    own["cursor"].execute("INSERT INTO jobs (payload) VALUES (%s)", (str(number),))
    own["connection"].commit()


def enqueue_many(numbers):
    own["cursor"].executemany("INSERT INTO jobs (payload) VALUES (%s)", [(str(number),) for number in numbers])
    own["connection"].commit()


def work():
    """Claim and commit, run, delete and commit."""
    connection = connected()
    cursor = connection.cursor()
    while True:
        cursor.execute(CLAIM, (BATCH,))
        ids = ",".join(str(row[0]) for row in cursor.fetchall())
        if ids:
            cursor.execute(f"UPDATE jobs SET locked_by = 'me' WHERE id IN ({ids})")
        connection.commit()
        if not ids:
            time.sleep(0.01)
            continue
        for _id in ids.split(","):
            count_done()
        cursor.execute(f"DELETE FROM jobs WHERE id IN ({ids})")
        connection.commit()


program = Program(enqueue=enqueue, enqueue_many=enqueue_many, start=start, set_up=set_up)
