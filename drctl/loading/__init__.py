"""YAML text to core values: every problem at once, with file, line and column."""
