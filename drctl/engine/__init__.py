"""Decides: plans by looking, carries runs out by one rule, takes them back."""
