"""SQL from people: parsed by the engine, checked against allow-lists, bound to one tenant, run read-only."""
