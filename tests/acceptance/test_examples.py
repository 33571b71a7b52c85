"""The examples run as their READMEs say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.news import raw_channel
from tomqueue.transport.topology import Topology

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_quickstart_measures_the_standard_library(tmp_path: Path) -> None:
    """It ends with exit code 0, every file is accounted for, and the broken ones are listed with their errors."""
    folder = copied("quickstart", tmp_path)
    (folder / "quickstart.db").write_text("what an earlier run left: a run starts clean")
    wrote = run(folder, "run.py")
    for broken in sorted((folder / "broken").glob("*.py")):
        assert f"broken/{broken.name}" in wrote
    assert "The ten longest functions" in wrote
    done, failed, total = re.findall(r"[\d,]+", wrote.partition("\nDone ")[2])[:3]
    assert number(done) + number(failed) == number(total) > 500


def test_a_rolled_back_order_sends_nothing(tmp_path: Path) -> None:
    """Three orders and one newsletter are mailed; run again, it starts anew."""
    folder = copied("transactional", tmp_path)
    for _ in range(2):
        wrote = run(folder, "sell.py")
        assert mails_of(folder) == ["order-1", "order-2", "order-3", "welcome-ann@example.org"]
        assert len(re.findall(r": order \d+ committed", wrote)) == 3
        assert "cid@example.org: Lamp is sold out" in wrote


@pytest.mark.parametrize("database", ["postgres_url", "mariadb_url"])
def test_the_orders_go_by_servers_as_well(
    database: str, rabbitmq_url: str, rabbitmq_prefix: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With the same code, on the database and the broker that the environment names."""
    folder = copied("transactional", tmp_path)
    run(
        folder, "sell.py", TOMQUEUE_DATABASE_URL=request.getfixturevalue(database), TOMQUEUE_BROKER_URL=rabbitmq_url,
        TOMQUEUE_PREFIX=rabbitmq_prefix,
    )  # fmt: skip
    assert len(mails_of(folder)) == 4


def test_a_request_id_travels_through_both_stacks(tmp_path: Path) -> None:
    """Every line of a job, and of the job that it enqueued, names the request that caused them."""
    wrote = run(copied("custom_layer", tmp_path), "ask.py")
    for request, month in (("req-a", "May"), ("req-b", "June")):
        assert f"[{request}] sent the report of {month}" in wrote
        for step in ("enqueue build", "run build", "enqueue mail", "run mail"):
            assert len(re.findall(rf"^\[{request}\] {step}: [\d.]+ ms$", wrote, re.MULTILINE)) == 1


def test_orders_of_another_program_are_charged(rabbitmq_url: str, rabbitmq_prefix: str, tmp_path: Path) -> None:
    """What it announces becomes jobs, and what they announce reaches it; a message that is no order is discarded."""
    exchange = f"{rabbitmq_prefix}.shop"
    try:
        wrote = run(
            copied("external_consumer", tmp_path), "trade.py", TOMQUEUE_BROKER_URL=rabbitmq_url,
            TOMQUEUE_PREFIX=rabbitmq_prefix, SHOP_EXCHANGE=exchange,
        )  # fmt: skip
    finally:
        with raw_channel(rabbitmq_url) as channel:
            channel.queue_delete(Topology(rabbitmq_prefix).consumer_queue("orders"))
            channel.exchange_delete(exchange)
            channel.exchange_delete(f"{exchange}.receipts")
    assert re.findall(r"order (\d) was charged ([\d.]+)", wrote) == [
        (str(number), f"{9.9 * number:.2f}") for number in range(1, 6)
    ]
    assert "billing: 0 jobs left" in wrote


def copied(example: str, to: Path) -> Path:
    """Return a fresh copy of an example."""
    leftovers = shutil.ignore_patterns("*.db*", "__pycache__", "mails")
    return shutil.copytree(EXAMPLES / example, to / example, ignore=leftovers)


def run(folder: Path, script: str, **environment: str) -> str:
    """Run a script of an example and return what it wrote; fail with that unless it succeeds."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOMQUEUE_")}
    result = subprocess.run(
        [sys.executable, script], cwd=folder, env=inherited | environment, text=True, capture_output=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def mails_of(folder: Path) -> list[str]:
    """Return what the shop has sent."""
    return sorted(path.stem for path in (folder / "mails").glob("*.txt"))


def number(text: str) -> int:
    """Return a number that was written with thousands separators."""
    return int(text.replace(",", ""))
