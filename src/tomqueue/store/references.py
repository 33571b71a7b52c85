"""Objects that SQLAlchemy maps travel as their primary key, and are loaded again when their job runs."""

from collections.abc import Callable
from functools import partial
from inspect import Parameter
from types import FunctionType
from typing import Any

from sqlalchemy import ColumnElement, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstanceState, Mapper, Session, SessionTransaction

from tomqueue.definition.carriers import Bound
from tomqueue.errors import EnqueueError, JobTargetGone, Snooze
from tomqueue.payload import Layout
from tomqueue.redaction import Path
from tomqueue.store.atomic import current_transaction
from tomqueue.store.sql import SqlStore

__all__ = ["MappedReferences"]

AFTER_TROUBLE = 1.0
"""Seconds until a job whose object could not be looked for is tried again, uncharged."""


class MappedReferences:
    """Says how an object of a mapped class travels. ``store`` is asked when one is first loaded."""

    def __init__(self, store: Callable[[], SqlStore]) -> None:
        self._store = store

    def __call__(self, target_class: type, name: str, sessions: Callable[[], Session] | None) -> "Reference | None":
        """Return the carrier of a mapped class, None for any other; ``sessions`` opens what loads its objects."""
        mapper: Any = inspect(target_class, raiseerr=False)
        return Reference(mapper, name, self._store, sessions) if isinstance(mapper, Mapper) else None


class Reference:
    """Carries the primary key of a mapped object."""

    allows_async = False

    def __init__(
        self,
        mapper: Mapper[Any],
        name: str,
        store: Callable[[], SqlStore],
        sessions: Callable[[], Session] | None,
    ) -> None:
        self._class: Any = mapper.class_
        self._name = name
        self._store = store
        self._sessions = sessions
        kinds = {mapper.get_property_by_column(column).key: kind_of(column) for column in mapper.primary_key}
        parameters = [Parameter(key, Parameter.KEYWORD_ONLY) for key in kinds]
        self._layout = Layout(name, parameters, lambda: kinds)

    def encode(self, instance: object) -> str:
        """Return the primary key as JSON; raises EnqueueError for an object that has no row."""
        state: InstanceState[Any] = inspect(instance)
        if state.identity is None:
            raise EnqueueError(
                f"this {self._name} is not saved and has no primary key yet, by which a worker could load it: "
                "add it to a session and flush() first"
            )
        if state.deleted or state.was_deleted:
            raise EnqueueError(f"this {self._name} is deleted: no worker could load it")
        return self._layout.dump(state.identity)

    def fingerprint(self, text: str) -> str:
        """Return what tells the primary key from others."""
        return self._layout.fingerprint(text)

    def check_visible(self, instance: object) -> None:
        """Raise EnqueueError for an object whose INSERT is not committed: a worker may look for it before it is."""
        if current_transaction.get() is None and is_uncommitted(inspect(instance)):
            raise EnqueueError(
                f"the INSERT of this {self._name} is not committed, and a worker could be faster: commit first, or "
                "enqueue in the same transaction, as in tq.delay(object, session=session)"
            )

    def bound(self, text: str, function: FunctionType, *, wants_context: bool) -> Bound:
        """Return a call that loads the object; raises UnreadableArguments for a key of another kind."""
        key = self._layout.load(text)
        return Bound(partial(self._call, key, function, wants_context), wants_context=True)

    def redacted(self, names: tuple[str, ...]) -> tuple[Path, ...]:
        """Return where the fields are: in the row only those of the key."""
        return tuple((name,) for name in names if name in self._layout.names)

    def _call(
        self, key: tuple[Any, ...], function: FunctionType, wants_context: bool, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Load the object and call its method: in the transaction of an atomic job, else in one of its own."""
        if wants_context:
            args = (context, *args)
        if context.transaction is not None:
            return function(self._found(context.session(), key), *args, **kwargs)
        with self._opened() as session:
            instance = self._loaded(session, key)
            result = function(instance, *args, **kwargs)
            session.commit()
            return result

    def _opened(self) -> Session:
        if self._sessions is not None:
            return self._sessions()
        return Session(self._store().own_engine(), expire_on_commit=False)

    def _loaded(self, session: Session, key: tuple[Any, ...]) -> Any:
        """Load the object in a short transaction, so that the method does not begin within one."""
        try:
            session.connection(execution_options={"tomqueue_write": False})
            instance = self._found(session, key)
            session.commit()
        except DBAPIError as error:
            if isinstance(error.orig, Exception) and self._store().is_to_blame_for(error.orig):
                raise Snooze(AFTER_TROUBLE) from error
            raise
        return instance

    def _found(self, session: Session, key: tuple[Any, ...]) -> Any:
        instance = session.get(self._class, key)
        if instance is None:
            raise JobTargetGone(
                f"the {self._name} that it is called on is not in the database any more: the arguments have its key"
            )
        return instance


def kind_of(column: ColumnElement[Any]) -> Any:
    """Return the Python type of a column's values; Any where its type does not say."""
    try:
        return column.type.python_type
    except NotImplementedError:
        return Any


def is_uncommitted(state: InstanceState[Any]) -> bool:
    """Say whether the object's row was inserted by a transaction of its session that is still open."""
    session = state.session
    transaction: SessionTransaction | None = None
    if session is not None:
        transaction = session.get_nested_transaction() or session.get_transaction()
    while transaction is not None:
        if state in transaction._new:  # noqa: SLF001 - no public name says so; a test holds it
            return True
        transaction = transaction.parent
    return False
