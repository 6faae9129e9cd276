"""Exceptions as issues: grouped by what went wrong where, with the local variables that a reader may see."""
