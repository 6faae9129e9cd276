"""Asking: each language behind a door with limits, deadline and cancel; what is above asks here, and never a table."""
