"""Durable memory: the only part that speaks to ClickHouse. What others may ask of it is store/interface.py."""
