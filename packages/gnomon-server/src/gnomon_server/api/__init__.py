"""Edges out, for machines and the console: parameters in, the query doors asked, answers written."""
