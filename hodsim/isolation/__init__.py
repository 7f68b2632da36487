"""Files that may come from strangers, read in a process of its own with bounded time and memory."""

from hodsim.isolation.hdf5 import check_hdf5
from hodsim.isolation.process import Arrays, FailedError, isolated

__all__ = ["Arrays", "FailedError", "check_hdf5", "isolated"]
