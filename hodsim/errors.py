"""The two errors that hodsim raises on purpose."""

from __future__ import annotations


class InputError(ValueError):
    """What was given cannot be used: one line saying what was expected, what came, what to do.

    The command line prints it as it stands and exits with code 2.
    """


class ConvergenceError(RuntimeError):
    """A solver stopped before it reached its tolerance. The command line exits with code 3."""
