"""What is declared as a job: its name, its options, and how a call of it becomes a payload and back.

options (what may be said) → encryption (what the settings add) → schedule (when a periodic job runs)
→ limit (how many at once) → inspection (what the declaration tells)
→ function | classes (the two kinds of jobs)
→ prepared (a call on its way to a row, and back) → registry (which names may run here)

Methods that are called later: asynchronous (what a decorator says) → carriers (how an object travels) → methods
(a method as a job) → targets (the classes that have them) → delays (``tq.delay``)

Jobs that belong together: workflow (what is said) → plan (the steps that it becomes)

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
from tomqueue.definition.limit import FAIR, Counted, Limit, concurrency_problem, name_of_key, rate_interval
from tomqueue.definition.options import (
    CallersOptions,
    JobOptions,
    Options,
    OverrideOptions,
    Overrides,
    number_problem,
    seconds_of,
)
from tomqueue.definition.plan import Plan, Post, Step, plan_of, within, workflow_of
from tomqueue.definition.prepared import Enqueuer, JobDefinition, Loaded, Prepared
from tomqueue.definition.registry import Registry
from tomqueue.definition.schedule import Misfire, Schedule, Tick, Turn, turn_of
from tomqueue.definition.targets import Target
from tomqueue.definition.workflow import Chain, Group, chain, check_declared, cure_of, group

__all__ = [
    "FAIR",
    "HOOKS",
    "Asynchronous",
    "AsynchronousCall",
    "AsynchronousOptions",
    "BoundDefinition",
    "CallersOptions",
    "Chain",
    "ClassDefinition",
    "ConsumerDefinition",
    "ConsumerOptions",
    "ConsumerTerms",
    "Consumers",
    "Counted",
    "Definition",
    "Delayed",
    "DelayedCall",
    "Delays",
    "Encryption",
    "Enqueuer",
    "Group",
    "JobDefinition",
    "JobOptions",
    "Limit",
    "Loaded",
    "Misfire",
    "Options",
    "OverrideOptions",
    "Overrides",
    "Plan",
    "Post",
    "Prepared",
    "References",
    "Registry",
    "Schedule",
    "Step",
    "Target",
    "Tick",
    "Turn",
    "chain",
    "check_declared",
    "checked_exchange",
    "concurrency_problem",
    "cure_of",
    "group",
    "name_of_key",
    "number_problem",
    "plan_of",
    "queue_said_by",
    "rate_interval",
    "said",
    "seconds_of",
    "turn_of",
    "within",
    "workflow_of",
]
