"""What is declared as a job: its name, its options, and how a call of it becomes a payload and back.

options (what may be said) → inspection (what the declaration tells) → function | classes (the two kinds of jobs)
→ prepared (a call on its way to a row, and back) → registry (which names may run here)
"""

from tomqueue.definition.classes import HOOKS, ClassDefinition
from tomqueue.definition.function import BoundDefinition, Definition
from tomqueue.definition.options import JobOptions, Options, OverrideOptions, Overrides, seconds_of
from tomqueue.definition.prepared import Enqueuer, JobDefinition, Loaded, Prepared
from tomqueue.definition.registry import Registry

__all__ = [
    "HOOKS",
    "BoundDefinition",
    "ClassDefinition",
    "Definition",
    "Enqueuer",
    "JobDefinition",
    "JobOptions",
    "Loaded",
    "Options",
    "OverrideOptions",
    "Overrides",
    "Prepared",
    "Registry",
    "seconds_of",
]
