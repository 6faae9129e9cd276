"""The overhead budget: what the SDK costs its host, and what it lets go when that is too much."""
