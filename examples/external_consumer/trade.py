"""Start billing's worker, let the shop place its orders, and stop the worker."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from billing import DATABASE, tq

HERE = Path(__file__).parent


def main() -> int:
    if "TOMQUEUE_BROKER_URL" not in os.environ:
        print("Say where RabbitMQ is: export TOMQUEUE_BROKER_URL=amqp://guest:guest@localhost/", file=sys.stderr)
        return 2
    for leftover in HERE.glob(f"{DATABASE.name}*"):
        leftover.unlink()
    command = [sys.executable, "-m", "tomqueue", "--app", "billing:tq", "run", "--processes", "1"]
    with subprocess.Popen(command, cwd=HERE) as worker:
        status = subprocess.run([sys.executable, "shop.py"], cwd=HERE, check=False).returncode
        worker.send_signal(signal.SIGTERM)
    print(f"billing: {tq.jobs.count()} jobs left")
    return status or worker.returncode


if __name__ == "__main__":
    sys.exit(main())
