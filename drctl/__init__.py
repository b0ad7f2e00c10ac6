"""drctl runs disaster-recovery runbooks."""

__version__ = "0.1.0"
