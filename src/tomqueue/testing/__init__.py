"""For your tests: look at what is enqueued, run it here, let time pass, lose news, crash.

``with on_temporary_database(tq) as kit:`` or the pytest fixture ``tomqueue_kit``: see docs/howto/testing.md.
"""

from tomqueue.daemon.in_process import Ran
from tomqueue.testing.crashing import Crash, NeedsCommits, NotReached
from tomqueue.testing.kit import EndlessJobs, Kit
from tomqueue.testing.lost_news import LostNews
from tomqueue.testing.on_database import DatabaseKit, on_own_database, on_temporary_database
from tomqueue.testing.transaction import TransactionKit, in_transaction

__all__ = [
    "Crash",
    "DatabaseKit",
    "EndlessJobs",
    "Kit",
    "LostNews",
    "NeedsCommits",
    "NotReached",
    "Ran",
    "TransactionKit",
    "in_transaction",
    "on_own_database",
    "on_temporary_database",
]
