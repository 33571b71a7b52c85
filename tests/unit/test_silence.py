"""When a queue of the broker counts as empty."""

from collections.abc import Container

from tomqueue.transport.rabbitmq.silence import QUIET, QUIET_AT_FIRST, SETTLED, Silence, Source

A: Source = ("default", 1)
B: Source = ("mailers", 1)
NOBODY: Container[Source] = ()


def begun(*sources: Source) -> Silence:
    """Return one that consumes ``sources`` since 0."""
    silence = Silence()
    for source in sources:
        silence.begins(source, 0.0)
    return silence


def test_what_is_silent_for_long_is_empty() -> None:
    """Not before: a message may take its time."""
    silence = begun(A)
    silence.heard(A, 1.0)
    silence.listen(QUIET + 0.9, NOBODY)
    assert silence.empty_at() == {}
    silence.listen(QUIET + 1, NOBODY)
    silence.listen(QUIET + 2, NOBODY)
    assert silence.empty_at() == {A: QUIET + 2}


def test_what_gave_nothing_as_we_began_is_empty_soon() -> None:
    """A worker that starts where all news was lost does not stand idle for the time that a message may take."""
    silence = begun(A)
    silence.listen(QUIET_AT_FIRST - 0.1, NOBODY)
    assert silence.empty_at() == {}
    silence.listen(QUIET_AT_FIRST, NOBODY)
    assert silence.empty_at() == {A: QUIET_AT_FIRST}


def test_a_message_ends_the_silence_of_its_queue() -> None:
    """At once, and of no other."""
    silence = begun(A, B)
    silence.listen(QUIET, NOBODY)
    silence.heard(A, QUIET)
    assert silence.empty_at() == {B: QUIET}
    silence.listen(QUIET * 1.5, NOBODY)
    assert silence.empty_at() == {B: QUIET * 1.5}


def test_who_holds_all_that_he_may_hears_nothing() -> None:
    """A queue that gives us no more because of the prefetch is not silent, nor just after."""
    silence = begun(A, B)
    silence.listen(QUIET, NOBODY)
    silence.listen(QUIET * 1.5, {A})
    silence.listen(QUIET * 2, NOBODY)
    assert silence.empty_at() == {B: QUIET * 2}


def test_who_listens_for_moments_only_hears_enough() -> None:
    """A worker without a free slot closes its channel; what it heard, and did not hear, before it still counts."""
    silence = begun(A, B)
    silence.breaks()
    silence.listen(QUIET, NOBODY)
    assert silence.empty_at() == {}
    for source in (A, B):
        silence.begins(source, 20.0)
    silence.heard(A, 20.0)
    silence.listen(20.0 + SETTLED / 2, NOBODY)
    assert silence.empty_at() == {}
    silence.listen(20.0 + 2 * SETTLED, NOBODY)
    silence.breaks()
    silence.listen(100.0, NOBODY)
    assert silence.empty_at() == {B: 20.0 + 2 * SETTLED}


def test_a_consumer_that_was_cancelled_hears_nothing() -> None:
    """Its queue was deleted; the others are heard as before."""
    silence = begun(A, B)
    silence.breaks(A)
    silence.listen(QUIET, NOBODY)
    assert silence.empty_at() == {B: QUIET}


def test_a_queue_that_is_served_again_is_heard_anew() -> None:
    """While it was paused nobody listened."""
    silence = begun(A, B)
    silence.listen(QUIET, NOBODY)
    silence.keep({B})
    assert silence.empty_at() == {B: QUIET}
    silence.keep({A, B})
    silence.begins(A, 100.0)
    silence.listen(100.0 + 2 * SETTLED, NOBODY)
    assert A not in silence.empty_at()
