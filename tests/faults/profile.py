"""How much the tests of faults do: little in `make test`, more with TOMQUEUE_FAULTS_FULL=1 (`make faults`)."""

import os

__all__ = ["FULL"]

FULL = bool(os.environ.get("TOMQUEUE_FAULTS_FULL"))
