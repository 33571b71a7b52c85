"""The ways in: the ``tomqueue`` command."""
