"""What is declared as a job: its name, its options, and how a call of it becomes a payload and back.

options (what may be said) → encryption (what the settings add) → schedule (when a periodic job runs) → inspection
(what the declaration tells) → function | classes (the two kinds of jobs)
→ prepared (a call on its way to a row, and back) → registry (which names may run here)

Methods that are called later: asynchronous (what a decorator says) → carriers (how an object travels) → methods
(a method as a job) → targets (the classes that have them) → delays (``tq.delay``)

Beside jobs: consumer (a function that handles messages of other programs) → exchange (where they come from)
"""

from tomqueue.definition.asynchronous import Asynchronous, AsynchronousCall, AsynchronousOptions
from tomqueue.definition.carriers import References
from tomqueue.definition.classes import HOOKS, ClassDefinition, queue_said_by, said
from tomqueue.definition.consumer import ConsumerDefinition, ConsumerOptions, Consumers, ConsumerTerms
from tomqueue.definition.delayed import DelayedCall
from tomqueue.definition.delays import Delayed, Delays
from tomqueue.definition.encryption import Encryption
from tomqueue.definition.exchange import checked_exchange
from tomqueue.definition.function import BoundDefinition, Definition
from tomqueue.definition.options import JobOptions, Options, OverrideOptions, Overrides, seconds_of
from tomqueue.definition.prepared import Enqueuer, JobDefinition, Loaded, Prepared
from tomqueue.definition.registry import Registry
from tomqueue.definition.schedule import Misfire, Schedule, Tick, Turn, turn_of
from tomqueue.definition.targets import Target

__all__ = [
    "HOOKS",
    "Asynchronous",
    "AsynchronousCall",
    "AsynchronousOptions",
    "BoundDefinition",
    "ClassDefinition",
    "ConsumerDefinition",
    "ConsumerOptions",
    "ConsumerTerms",
    "Consumers",
    "Definition",
    "Delayed",
    "DelayedCall",
    "Delays",
    "Encryption",
    "Enqueuer",
    "JobDefinition",
    "JobOptions",
    "Loaded",
    "Misfire",
    "Options",
    "OverrideOptions",
    "Overrides",
    "Prepared",
    "References",
    "Registry",
    "Schedule",
    "Target",
    "Tick",
    "Turn",
    "checked_exchange",
    "queue_said_by",
    "said",
    "seconds_of",
    "turn_of",
]
