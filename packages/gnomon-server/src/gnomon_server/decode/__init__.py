"""Bytes to Arrow batches: pure functions, one folder or file a wire format. Caches are bounded and passed in."""
