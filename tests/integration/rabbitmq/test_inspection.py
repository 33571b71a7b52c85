"""A look at the broker: whether it takes news, and what to do when it cannot be asked."""

import logging
from contextlib import closing

import pytest

from tests.news import news, publish_singly, raw_channel
from tests.rabbitmq_server import Broker
from tests.servers import free_port
from tomqueue.errors import BrokerUnavailable
from tomqueue.settings import Settings
from tomqueue.transport.rabbitmq import Inspection
from tomqueue.transport.rabbitmq.publisher import RabbitPublisher
from tomqueue.transport.topology import Topology


def look(url: str, prefix: str) -> Inspection:
    """Return a look at a broker."""
    return Inspection(Settings(broker_url=url, prefix=prefix))


def test_a_queue_that_takes_everything_is_no_alarm(
    rabbitmq_url: str, rabbitmq_prefix: str, publisher: RabbitPublisher
) -> None:
    """Somebody who listens to the whole exchange gets the question instead of us; the broker took it all the same."""
    publish_singly(publisher, news(1))
    assert publisher.flush(20) == 0
    with raw_channel(rabbitmq_url) as channel:
        everything = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(everything, Topology(rabbitmq_prefix).work, "#")
        with closing(look(rabbitmq_url, rabbitmq_prefix)) as inspection:
            assert inspection.alarm() is None


def test_an_alarm_is_seen_before_anything_is_declared(broker: Broker, prefix: str) -> None:
    """Also where our exchange does not exist yet: the alarm is the broker's."""
    broker.ctl("set_vm_memory_high_watermark", "absolute", "1")
    try:
        with closing(look(broker.url, prefix)) as inspection:
            assert inspection.alarm() == "low on memory"
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.6")


def test_a_user_who_may_not_publish_is_told_so(broker: Broker, prefix: str) -> None:
    """The broker's refusal is no sign of health."""
    with closing(look(broker.url, prefix)) as inspection:
        assert inspection.alarm() is None
    broker.ctl("add_user", prefix, "word")
    broker.ctl("set_permissions", "--vhost", "/", prefix, "", "", ".*")
    url = f"amqp://{prefix}:word@127.0.0.1:{broker.port}/%2F"
    with raw_channel(broker.url) as channel:
        channel.exchange_declare(Topology(prefix).work, "topic", durable=True)
    with closing(look(url, prefix)) as inspection:
        assert "ACCESS_REFUSED" in str(inspection.alarm())


def test_trouble_comes_with_its_cure_and_without_the_password(
    rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong password, virtual host, port and host name are one sentence each, and pika adds nothing to it."""
    base, _, host = rabbitmq_url.rpartition("@")
    user = base.split("//")[1].split(":")[0]
    address = host.split("/")[0]
    cures = {
        f"amqp://{user}:not-the-word@{address}/%2F": "check the user and password",
        f"{base}@{address}/nowhere": "check the virtual host",
        f"{base}@127.0.0.1:{free_port()}/%2F": "check that RabbitMQ runs there",
        f"{base}@no-such-host.invalid:5672/%2F": "check the host name",
    }
    secret = base.split(":")[-1]
    for url, cure in cures.items():
        with pytest.raises(BrokerUnavailable, match=cure) as caught:
            look(url, "test")
        assert secret not in str(caught.value)
        assert "not-the-word" not in str(caught.value)
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
