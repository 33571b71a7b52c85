"""Serve two requests, each of which enqueues a job that enqueues another; then work them off."""

import subprocess
import sys

import layers
from reports import HERE, build, tq


def main() -> int:
    tomqueue("migrate")
    for request, month in (("req-a", "May"), ("req-b", "June")):
        serve(request, month)
    tq.close()
    tomqueue("workoff", "--processes", "1")
    return 0


def serve(request: str, month: str) -> None:
    """Do what a web framework's middleware does: set the request id, then call the view."""
    token = layers.request_id.set(request)
    try:
        build.enqueue(month)
    finally:
        layers.request_id.reset(token)


def tomqueue(*words: str) -> None:
    command = [sys.executable, "-m", "tomqueue", "--app", "reports:tq", "--log-level", "warning", *words]
    subprocess.run(command, cwd=HERE, check=True)


if __name__ == "__main__":
    sys.exit(main())
