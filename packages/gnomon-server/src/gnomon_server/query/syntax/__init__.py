"""What the query languages share: tokens with places, durations, label matchers, and errors that show the spot."""
