"""The composition root: TomQueue knows all parts, and delegates."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, dataclass_transform, overload

import msgspec

from tomqueue.daemon.in_process import InProcessWorker, Ran, WorkedOff, options_of, work_off
from tomqueue.declaring import Declare, DeclareConsumer, DeclareTarget, HandleAsynchronously
from tomqueue.definition import (
    Asynchronous,
    AsynchronousOptions,
    CallersOptions,
    Chain,
    ConsumerOptions,
    Consumers,
    ConsumerTerms,
    Definition,
    Delayed,
    DelayedCall,
    Delays,
    Encryption,
    Group,
    JobOptions,
    Options,
    OverrideOptions,
    Overrides,
    Plan,
    Prepared,
    Registry,
    check_declared,
    checked_exchange,
    plan_of,
)
from tomqueue.enqueue.drafts import Drafts
from tomqueue.enqueue.enqueuing import Enqueuing, one_caller
from tomqueue.enqueue.inline import Inline
from tomqueue.enqueue.persist import Persist
from tomqueue.enqueue.producer import Producer
from tomqueue.enqueue.publish import Publish
from tomqueue.enqueue.queue_attributes import QueueAttributes
from tomqueue.enqueue.request import Draft, Request
from tomqueue.enqueue.stack import ENQUEUE_LAYERS, enqueue_stack
from tomqueue.errors import SettingsError
from tomqueue.events import Events
from tomqueue.job import Job
from tomqueue.parts import Parts
from tomqueue.payload import Keyring
from tomqueue.priority import Priority
from tomqueue.reporting import ExceptionReporter, Reporting
from tomqueue.settings import Settings, read_settings
from tomqueue.stack import Insertions
from tomqueue.store.references import MappedReferences
from tomqueue.store.sql import SqlStore
from tomqueue.store.workflows import Workflow
from tomqueue.transport.base import Publisher
from tomqueue.views import Views
from tomqueue.worker.attempt import Attempt
from tomqueue.worker.context import JobContext
from tomqueue.worker.inline import run_inline
from tomqueue.worker.stack import WORKER_LAYERS
from tomqueue.worker.tools import Tools

__all__ = ["TomQueue"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")


class TomQueue(Views):
    """Background jobs in the application's own database.

    ``database_url`` is a SQLAlchemy URL (or the environment variable TOMQUEUE_DATABASE_URL); ``engine`` is the
    application's own Engine or AsyncEngine instead. Every field of Settings is a keyword argument as well.
    Nothing is connected before the first use. Raises SettingsError.
    """

    def __init__(self, database_url: str | None = None, *, engine: Any = None, **settings: Any) -> None:
        if engine is not None and database_url is not None:
            raise SettingsError("database_url and engine are both given: give one of them")
        self.settings: Settings = read_settings(database_url=database_url, **settings)
        if self.settings.default_priority not in list(Priority):
            names = ", ".join(Priority)
            raise SettingsError(f"default_priority={self.settings.default_priority!r} is unknown: use one of {names}")
        self.keyring = Keyring(self.settings.encryption_keys)
        """What encrypts arguments and decrypts them; it shows no key."""
        self._encryption = Encryption(self.settings.encrypt, bool(self.keyring))
        self.registry = Registry()
        self.consumers = Consumers()
        self.priority_map: dict[int, Priority] = {}
        """Delayed::Job's numbers → priorities; a number that is not in it is NORMAL, with a warning."""
        self.queue_attributes = QueueAttributes()
        """What is said about a queue: ``tq.queue_attributes["mailers"] = {"priority": "high"}``."""
        self.delay_jobs: bool | Callable[[Draft], bool] = True
        """False, or a predicate that says so, runs jobs at once in the caller's thread."""
        self.enqueue_layers: Insertions[Request, None] = Insertions(ENQUEUE_LAYERS)
        self.worker_layers: Insertions[Attempt, bool] = Insertions(WORKER_LAYERS)
        self._reporting = Reporting(logging.getLogger("tomqueue"))
        self._events = Events(self._reporting.report)
        self._parts = Parts(self.settings, engine, self._reporting)
        self._lock = Lock()
        self._enqueue_stack: Callable[[Request], None] | None = None
        drafts = Drafts(self.settings, self.priority_map, self.queue_attributes, self._reporting)
        self._enqueuing = Enqueuing(drafts, self._stack, lambda: self._parts.store, lambda: self.results)
        self._delays = Delays(self.registry, self._enqueuing)

    # Declaring ----------------------------------------------------------------------------------------

    @overload
    @dataclass_transform()
    def job(self, job: type[T], /) -> type[T]: ...  # type: ignore[overload-overlap] # a class is callable, too
    @overload
    def job(self, job: Callable[Concatenate[JobContext, P], R], /) -> Definition[Concatenate[JobContext, P], P, R]: ...
    @overload
    def job(self, job: Callable[P, R], /) -> Definition[P, P, R]: ...
    @overload
    def job(self, *, name: str | None = None, **options: Unpack[JobOptions]) -> Declare: ...
    # mypy holds that an implementation cannot accept the unpacked options of its own overload
    def job(self, job: Any = None, /, *, name: str | None = None, **options: Any) -> Any:  # type: ignore[misc]
        """Declare a function or a class as a job: ``@tq.job`` or ``@tq.job(queue="mailers", max_attempts=5)``.

        ``name`` is what rows store; default is the module and the qualified name. Raises DefinitionError.
        """
        declare = Declare(self.registry, self._enqueuing, self._encryption, name, Options.of(options))
        return declare if job is None else declare(job)

    @overload
    def target(self, target: type[T], /) -> type[T]: ...
    @overload
    def target(
        self,
        *,
        name: str | None = None,
        session: Callable[[], Any] | None = None,
        redact: tuple[str, ...] = (),
        encrypt: bool | None = None,
    ) -> DeclareTarget: ...
    # as above: mypy takes a default for a positional-only argument for missing
    def target(  # type: ignore[misc]
        self,
        target: Any = None,
        /,
        *,
        name: str | None = None,
        session: Any = None,
        redact: tuple[str, ...] = (),
        encrypt: bool | None = None,
    ) -> Any:
        """Let the public methods of a class be called later: ``@tq.target`` above it.

        ``name`` is what rows store of the class. ``session`` opens the Session (a ``sessionmaker`` does) that loads
        an object again which SQLAlchemy maps; default is one of the jobs' database. ``redact`` and ``encrypt`` are
        as in ``@tq.job``, for all its methods. Raises DefinitionError.
        """
        references = MappedReferences(lambda: self._parts.store)
        options = Options(redact=redact, encrypt=encrypt)
        declare = DeclareTarget(
            self.registry, references, self._encryption, name=name, sessions=session, options=options
        )
        return declare if target is None else declare(target)

    @overload
    def handle_asynchronously(
        self, method: Callable[Concatenate[S, JobContext, P], R], /
    ) -> Asynchronous[Concatenate[JobContext, P], P, R]: ...
    @overload
    def handle_asynchronously(self, method: Callable[Concatenate[S, P], R], /) -> Asynchronous[P, P, R]: ...
    @overload
    def handle_asynchronously(
        self, method: "classmethod[S, P, R] | staticmethod[P, R]", /
    ) -> Asynchronous[P, P, R]: ...
    @overload
    def handle_asynchronously(self, **options: Unpack[AsynchronousOptions]) -> HandleAsynchronously: ...
    def handle_asynchronously(self, method: Any = None, /, **options: Any) -> Any:  # type: ignore[misc]
        """Let a method of a target always be called later; ``method.without_delay(…)`` is the direct call.

        Options are those of ``@tq.job`` and of one enqueue; run_at, delay, queue, priority, expires, max_attempts and
        session may be callables of the object, asked at each call. Raises DefinitionError.
        """
        declare = HandleAsynchronously(self._delays, options)
        return declare if method is None else declare(method)

    def consumer(self, *, name: str | None = None, **terms: Unpack[ConsumerOptions]) -> DeclareConsumer:
        """Declare a function that handles messages of another program: ``@tq.consumer(exchange="orders")``.

        ``name`` names its queue at the broker; default is the module and the qualified name. Raises DefinitionError.
        """
        return DeclareConsumer(self.consumers, self.settings, name, ConsumerTerms(**terms))

    def producer(self, *, exchange: str, type: str = "topic") -> Producer:  # noqa: A002 - AMQP's word
        """Return what publishes messages to an exchange of another program. Raises DefinitionError."""
        checked_exchange("producer", exchange, type)
        return Producer(exchange, type, self._enqueuing)

    # Enqueueing ---------------------------------------------------------------------------------------

    def prepare(self, job: object, **overrides: Unpack[OverrideOptions]) -> Prepared:
        """Check an instance of a job class and return what ``enqueue_many`` takes."""
        return self.registry.of_object(job).prepare(job, Overrides.of(overrides))

    @overload
    def enqueue(self, job: Chain | Group, **caller: Unpack[CallersOptions]) -> Workflow: ...  # type: ignore[overload-overlap] # a job is an object, too
    @overload
    def enqueue(self, job: "object | Prepared", **overrides: Unpack[OverrideOptions]) -> Job: ...
    def enqueue(self, job: Any, **overrides: Any) -> Any:
        """Enqueue an instance of a job class, or a prepared call; return the job. Raises EnqueueError.

        A ``chain`` or ``group`` is written wholly or not at all, with ``session`` or ``connection`` in the caller's
        transaction; returns the Workflow.
        """
        if isinstance(job, Chain | Group):
            return self._enqueuing.enqueue_workflow(*self._planned(job, overrides))
        return self._enqueuing.enqueue(self._prepared(job, overrides))

    @overload
    async def aenqueue(self, job: Chain | Group, **caller: Unpack[CallersOptions]) -> Workflow: ...  # type: ignore[overload-overlap] # as above
    @overload
    async def aenqueue(self, job: "object | Prepared", **overrides: Unpack[OverrideOptions]) -> Job: ...
    async def aenqueue(self, job: Any, **overrides: Any) -> Any:
        """Enqueue from asynchronous code."""
        if isinstance(job, Chain | Group):
            return await self._enqueuing.aenqueue_workflow(*self._planned(job, overrides))
        return await self._enqueuing.aenqueue(self._prepared(job, overrides))

    def enqueue_many(self, prepared: Iterable[Prepared], *, session: Any = None, connection: Any = None) -> list[Job]:
        """Enqueue prepared calls in one transaction (the caller's, if given); return their jobs in the same order."""
        return self._enqueuing.enqueue_many(prepared, one_caller(session, connection))

    async def aenqueue_many(
        self, prepared: Iterable[Prepared], *, session: Any = None, connection: Any = None
    ) -> list[Job]:
        """Enqueue many from asynchronous code."""
        return await self._enqueuing.aenqueue_many(prepared, one_caller(session, connection))

    @overload
    def delay(self, job: Definition[Any, P, Any], /, **terms: Unpack[OverrideOptions]) -> DelayedCall[P]: ...  # type: ignore[overload-overlap] # a job is an object, too
    @overload
    def delay(self, target: object, /, **terms: Unpack[OverrideOptions]) -> Delayed: ...
    def delay(self, target: Any, /, **terms: Any) -> Any:
        """Return ``target``, an object, class or job, for one call later: ``tq.delay(user, queue="slow").activate()``.

        Raises DefinitionError for a class without ``@tq.target``; the call raises EnqueueError.
        """
        return self._delays.delay(target, Overrides.of(terms))

    # Observing ----------------------------------------------------------------------------------------

    def on(self, event: str, callback: Callable[..., object]) -> None:
        """Call ``callback(**details)`` at each event, for example ``job.finished``; see ``tomqueue.events``."""
        self._events.on(event, callback)

    @property
    def logger(self) -> logging.Logger:
        """Where TomQueue logs; default is the logger ``tomqueue``."""
        return self._reporting.logger

    @logger.setter
    def logger(self, logger: logging.Logger) -> None:
        self._reporting.logger = logger

    @property
    def exception_reporter(self) -> ExceptionReporter | None:
        """What is notified of every error: of jobs, and of TomQueue's own threads and processes."""
        return self._reporting.reporter

    @exception_reporter.setter
    def exception_reporter(self, reporter: ExceptionReporter | None) -> None:
        self._reporting.reporter = reporter

    # Working ------------------------------------------------------------------------------------------

    def work_off(self, n: int | None = None, *, queues: Iterable[str] = ()) -> WorkedOff:
        """Run at most ``n`` ready jobs in this thread (None: until nothing is ready), and say how many succeeded.

        Errors of jobs are recorded, as in every worker. Raises StoreError, SettingsError, LeaseLost.
        """
        outcomes: Counter[str] = Counter()

        def saw(ran: Ran) -> None:
            outcomes[ran.outcome] += 1

        work_off(self.tools(), options_of(tuple(queues), most=n), saw)
        return WorkedOff(outcomes["finished"], outcomes["retried"] + outcomes["failed"])

    def start_worker(self, *, threads: int = 1, queues: Iterable[str] = ()) -> InProcessWorker:
        """Start a worker in threads of this process, for tests and tiny applications; stop what is returned.

        It cannot be killed: a job that hangs stays. Raises StoreError, SettingsError.
        """
        return InProcessWorker(self.tools(), options_of(tuple(queues), threads=threads)).start()

    def tools(self) -> Tools:
        """Return what a worker of this application is built from; opens the database."""
        return Tools(
            settings=self.settings,
            store=self._parts.store,
            catalog=self._parts.catalog,
            transport=self._parts.transport,
            publisher=self._parts.publisher,
            registry=self.registry,
            keyring=self.keyring,
            consumers=self.consumers,
            events=self._events,
            logger=self.logger,
            reporting=self._reporting,
            layers=self.worker_layers,
            enqueue_many=self._enqueuing.enqueue_many,
        )

    def supervisor_settings(self) -> Settings:
        """Return the settings for a process that does not import the application; they hold the URL's password."""
        return self._parts.supervisor_settings()

    def bare_store(self) -> SqlStore:
        """Return the database, opened anew and without a look at its tables: for migrations and checks."""
        return self._parts.bare_store()

    def close(self) -> None:
        """Send what is still to be published and close the connections. The next use opens them again."""
        self._parts.close()

    # For tests ----------------------------------------------------------------------------------------

    @contextmanager
    def elsewhere(self, **settings: Any) -> Iterator[None]:
        """Use other settings and a database of their own until the block is left. Raises SettingsError."""
        before = self.settings, self._parts
        self.settings = read_settings({}, **{**msgspec.structs.asdict(self.settings), **settings})
        self._parts = Parts(self.settings, None, self._reporting)
        try:
            yield
        finally:
            self._parts.close()
            self.settings, self._parts = before

    def published_by(self, publisher: Publisher) -> AbstractContextManager[None]:
        """Let ``publisher`` publish the news until the block is left."""
        return self._parts.published_by(publisher)

    # Parts --------------------------------------------------------------------------------------------

    def _prepared(self, job: "object | Prepared", overrides: Mapping[str, Any]) -> Prepared:
        if not isinstance(job, Prepared):
            return self.prepare(job, **overrides)
        if overrides:
            raise TypeError("a prepared call has its options already: give them to using() before prepare()")
        return job

    def _planned(self, said: Chain | Group, caller: Mapping[str, Any]) -> tuple[Plan, Any]:
        if unknown := sorted(set(caller) - {"session", "connection"}):
            raise TypeError(f"{unknown[0]} is no option of a workflow: give it to using() of its jobs")
        check_declared(said, self.registry)
        return plan_of(said), one_caller(caller.get("session"), caller.get("connection"))

    def _stack(self) -> Callable[[Request], None]:
        with self._lock:
            if self._enqueue_stack is None:
                stack = enqueue_stack(
                    Inline(self._is_delayed, self._run_inline),
                    Persist(
                        lambda: self._parts.store,
                        self.keyring,
                        self.settings.max_payload_bytes,
                        shown=self.disclosure.arguments,
                    ),
                    Publish(
                        lambda: self._parts.publisher,
                        lambda: self._parts.message_publisher,
                        self._events,
                        self._reporting,
                    ),
                )
                self._enqueue_stack = self.enqueue_layers.into(stack).folded()
            return self._enqueue_stack

    def _is_delayed(self, draft: Draft) -> bool:
        if draft.tick is not None:
            return True  # a worker enqueues it, or a person who does not want to run it here
        return self.delay_jobs(draft) if callable(self.delay_jobs) else self.delay_jobs

    def _run_inline(self, draft: Draft) -> Job:
        job = run_inline(self.tools(), draft.definition.name, draft.queue, draft.priority, draft.payload)
        return job.shown_by(self.disclosure.arguments)
