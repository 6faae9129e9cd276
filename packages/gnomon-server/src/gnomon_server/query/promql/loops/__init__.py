"""Loops over samples as machine code (Numba): one plain loop each, as Prometheus writes it, and no array in between."""
