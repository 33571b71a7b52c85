"""What is declared as a job: its name, its options, and how a call of it becomes a payload and back.

options (what may be said) → schedule (when a periodic job runs) → inspection (what the declaration tells)
→ function | classes (the two kinds of jobs)
→ prepared (a call on its way to a row, and back) → registry (which names may run here)

Beside jobs: consumer (a function that handles messages of other programs) → exchange (where they come from)
"""

from tomqueue.definition.classes import HOOKS, ClassDefinition
from tomqueue.definition.consumer import ConsumerDefinition, ConsumerOptions, Consumers, ConsumerTerms
from tomqueue.definition.exchange import checked_exchange
from tomqueue.definition.function import BoundDefinition, Definition
from tomqueue.definition.options import JobOptions, Options, OverrideOptions, Overrides, seconds_of
from tomqueue.definition.prepared import Enqueuer, JobDefinition, Loaded, Prepared
from tomqueue.definition.registry import Registry
from tomqueue.definition.schedule import Misfire, Schedule, Tick, Turn, turn_of

__all__ = [
    "HOOKS",
    "BoundDefinition",
    "ClassDefinition",
    "ConsumerDefinition",
    "ConsumerOptions",
    "ConsumerTerms",
    "Consumers",
    "Definition",
    "Enqueuer",
    "JobDefinition",
    "JobOptions",
    "Loaded",
    "Misfire",
    "Options",
    "OverrideOptions",
    "Overrides",
    "Prepared",
    "Registry",
    "Schedule",
    "Tick",
    "Turn",
    "checked_exchange",
    "seconds_of",
    "turn_of",
]
