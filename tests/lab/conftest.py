"""Fixtures for the tests of the lab's services."""

from tests.lab.cluster import cluster, database, services

__all__ = ["cluster", "database", "services"]
