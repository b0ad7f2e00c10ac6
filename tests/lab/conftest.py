"""Fixtures for the tests of the lab: its services alone, and whole labs."""

from tests.lab.cluster import cluster, database, services
from tests.lab.running import lab, own_lab

__all__ = ["cluster", "database", "lab", "own_lab", "services"]
