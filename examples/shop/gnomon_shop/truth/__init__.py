"""What is true of a run, from the ledger alone; the server and its answers have no part in it."""
