"""Backups of everything while the server runs, increments of them, and the way back. See docs/backup.md."""
