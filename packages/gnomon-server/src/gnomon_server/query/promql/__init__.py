"""PromQL: from text to a checked tree (`parser`, `check`), from the tree to text (`format`), and to answers."""
