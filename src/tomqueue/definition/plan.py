"""From what is said about a workflow to its steps: rows with counters, and the step that each job stands in. Pure.

Every link of a chain is a step: one job, or the members of a group. A step knows how many of its members are still to
end, whose turn it is after it, and in which step it counts itself. Numbers grow in the direction in which anything is
told: a step's number is smaller than that of the step after it, and of the one that it counts in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from tomqueue.definition.prepared import Prepared
from tomqueue.definition.workflow import Chain, Group, Item

__all__ = ["Plan", "Post", "Step", "plan_of", "within", "workflow_of"]


@dataclass(frozen=True, slots=True)
class Post:
    """Where a job stands in its workflow: the step that its end counts in, and the step whose turn it waits for."""

    step: int
    waits_for: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Members that run side by side, jobs and whole chains, and what follows them.

    ``next_step`` has its turn when all have succeeded, ``complete_step`` when each has ended; ``parent`` is where the
    chain that the step is a link of counts as one member (None: the workflow itself). ``begun`` says whether it
    has its turn from the beginning.
    """

    number: int
    members: int
    parent: int | None
    next_step: int | None
    complete_step: int | None
    begun: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A workflow's calls, in the order of their rows, where each stands, and the steps."""

    calls: list[Prepared] = field(repr=False)
    posts: list[Post] = field(repr=False)
    steps: list[Step] = field(repr=False)


def plan_of(said: Chain | Group) -> Plan:
    """Return the plan of a workflow."""
    planner = Planner()
    planner.sequence(said, None, None, begun=True)
    return planner.plan()


@dataclass(slots=True, eq=False)
class Node:
    """A step while it is planned: its number is known once those of its members are."""

    parent: "Node | None"
    begun: bool
    number: int = 0
    members: int = 0
    next_step: "Node | None" = None
    complete_step: "Node | None" = None


class Planner:
    """Walks through what is said, and lays down steps and calls."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._nodes: list[Node] = []
        self._calls: list[tuple[Prepared, Node, Node | None]] = []

    def plan(self) -> Plan:
        """Return what was laid down."""
        return Plan(
            calls=[call for call, _, _ in self._calls],
            posts=[Post(node.number, number_of(turn)) for _, node, turn in self._calls],
            steps=[
                Step(
                    number=node.number, members=node.members, parent=number_of(node.parent),
                    next_step=number_of(node.next_step), complete_step=number_of(node.complete_step), begun=node.begun,
                )
                for node in self._nodes
            ],
        )  # fmt: skip

    def sequence(self, said: Item, parent: Node | None, turn: Node | None, *, begun: bool) -> Node:
        """Lay down what runs one after another; return its first step.

        Its first jobs wait for ``turn`` (None: for nothing), or for their own step where that is not ``begun``.
        """
        first: Node | None = None
        before: Node | None = None
        for item in links_of(said):
            node = Node(parent, begun and first is None)
            self._fill(node, item, turn if node.begun else node)
            node.number = next(self._numbers)
            self._nodes.append(node)
            if isinstance(item, Group) and item.on_complete is not None:
                node.complete_step = self.sequence(item.on_complete, None, None, begun=False)
            if before is not None:
                before.next_step = node
            before = node
            first = first or node
        assert first is not None
        return first

    def _fill(self, node: Node, item: Prepared | Group, turn: Node | None) -> None:
        members: Iterable[Item] = item.members if isinstance(item, Group) else [item]
        for member in members:
            node.members += 1
            if isinstance(member, Prepared):
                self._calls.append((member, node, turn))
            else:
                self.sequence(member, node, turn, begun=True)


def links_of(said: Item) -> Iterator[Prepared | Group]:
    """Return what runs one after another: a chain in a chain is its links, ``on_success`` one more link."""
    if isinstance(said, Chain):
        for link in said.links:
            yield from links_of(link)
        return
    yield said
    if isinstance(said, Group) and said.on_success is not None:
        yield from links_of(said.on_success)


def number_of(node: Node | None) -> int | None:
    """Return the number of a step that may be none."""
    return None if node is None else node.number


# What a job knows of it ---------------------------------------------------------------------------------


class Told(msgspec.Struct):
    """What ``within`` writes."""

    workflow: int


def within(meta: str | None, workflow: int) -> str:
    """Return a job's ``meta`` with its workflow in it; one that is no JSON object stays as a layer has written it."""
    try:
        theirs = msgspec.json.decode(meta or "{}", type=dict[str, Any])
    except (ValueError, RecursionError):
        return meta or ""
    return msgspec.json.encode({**theirs, "workflow": workflow}).decode()


def workflow_of(meta: str | None) -> int | None:
    """Return the id of the workflow that a row tells of; None where it tells of none."""
    try:
        return msgspec.json.decode(meta or "", type=Told).workflow
    except (ValueError, RecursionError):  # rows are data: what a layer wrote there is its own
        return None
