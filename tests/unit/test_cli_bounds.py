"""What ``tomqueue check`` says about time."""

from tomqueue.cli.checks import bounds
from tomqueue.settings import Settings


def test_with_a_broker_news_can_be_lost() -> None:
    """Then there is a bound for it; without one there is no news."""
    (lost,) = [one for one in bounds(Settings(broker_url="amqp://localhost/"), "postgresql") if one.code == "news_lost"]
    assert lost.text == "the news of a job is lost: it starts within 60 s of its turn"
    assert "news_lost" not in {one.code for one in bounds(Settings(), "postgresql")}
