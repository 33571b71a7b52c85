"""TomQueue: background jobs that commit with your data.

The journey of a job, as the folders tell it:

    enqueue/    Persist → Publish                                  a call becomes a row and, after the commit, news
    store/      the rows: the truth                                SQLite, PostgreSQL, MySQL/MariaDB
    transport/  the news                                           without a broker, the database asked in turn
    worker/     ErrorHandling → Pop → Claim → Timeout → Invoke     news becomes a finished row

``cli/`` and ``daemon/`` are the ways in: the command, and the processes that it starts.
"""

from tomqueue.app import TomQueue
from tomqueue.daemon.in_process import InProcessWorker, WorkedOff
from tomqueue.definition import Chain, Group, Prepared, chain, group
from tomqueue.errors import (
    Discard,
    JobCancelled,
    JobFailed,
    JobInterrupted,
    JobTimeout,
    ResultTimeout,
    Retry,
    Snooze,
    TomQueueError,
)
from tomqueue.job import Job, State
from tomqueue.message import Message
from tomqueue.priority import Priority
from tomqueue.store.open import configure_sqlite
from tomqueue.store.workflows import Workflow, WorkflowState
from tomqueue.worker.context import JobContext, current_job

__all__ = [
    "Chain",
    "Discard",
    "Group",
    "InProcessWorker",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobInterrupted",
    "JobTimeout",
    "Message",
    "Prepared",
    "Priority",
    "ResultTimeout",
    "Retry",
    "Snooze",
    "State",
    "TomQueue",
    "TomQueueError",
    "WorkedOff",
    "Workflow",
    "WorkflowState",
    "chain",
    "configure_sqlite",
    "current_job",
    "group",
]
