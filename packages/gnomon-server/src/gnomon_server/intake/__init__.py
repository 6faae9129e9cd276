"""Batches on their way into the store: a bounded queue, stages as one list, and the writer that commits in groups."""
