"""Asking: each language behind the same door, with limits, deadline and cancel. Everything above asks here, never a table."""
