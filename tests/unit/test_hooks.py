"""Hooks are called by name, where there are any."""

from tomqueue.worker.hooks import call_hook


def test_a_hook_that_is_there_is_called() -> None:
    """With its arguments."""
    calls: list[tuple[str, int]] = []

    class Target:
        def before(self, job: str, number: int) -> None:
            calls.append((job, number))

    call_hook(Target(), "before", "job", 7)
    assert calls == [("job", 7)]


def test_what_is_not_there_is_nothing() -> None:
    """No hook, and no instance."""
    call_hook(object(), "before", 1)
    call_hook(None, "before", 1)
