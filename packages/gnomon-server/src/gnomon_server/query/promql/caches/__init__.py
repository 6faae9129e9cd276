"""What was read or answered before, in memory: series, samples, answers. Right to the last commit, or not used."""
