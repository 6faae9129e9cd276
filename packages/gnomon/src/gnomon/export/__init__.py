"""The way out: a bounded queue for each signal, one thread that empties them, a sender that speaks OTLP.

What is queued are encoded records, so that a full queue is a known number of bytes and nothing the garbage collector
has to walk. Recording never waits: a full queue drops, and counts the drop with its reason.
"""
