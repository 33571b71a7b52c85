"""``python -m tomqueue`` is the command ``tomqueue``."""

from tomqueue.cli.main import main

main()
