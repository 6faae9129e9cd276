"""The visitors of the shop: who comes, when, to do what; seeded, so that the same seed brings the same visitors."""
