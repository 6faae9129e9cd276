"""Pure data: Arrow schemas per table, batches, names. No I/O; everything may import this, this imports only errors."""
