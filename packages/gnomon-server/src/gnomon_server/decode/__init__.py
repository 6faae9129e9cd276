"""Bytes to Arrow batches: pure functions, one folder or file a wire format. Interning caches are bounded and passed in."""
