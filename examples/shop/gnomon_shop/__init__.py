"""A shop of seven small services that knows the truth about itself: what ran, what it earned, what was wrong."""
