"""Libraries that are instrumented by themselves when they are there."""
