"""The functions of PromQL; `table` has all of them by name."""
