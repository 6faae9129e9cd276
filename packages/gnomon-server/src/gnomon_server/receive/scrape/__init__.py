"""Scraping: we ask targets for their metrics, as Prometheus does, and store them as everyone's."""
