"""What can be set, where each value comes from, and what may change while the service runs.

`sources.load()` gives an `ObservabilityConfig`; `import gnomon` imports nothing of this, as pydantic
takes its time.
"""
