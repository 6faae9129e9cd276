"""Native histograms by the thousand, in columns."""
