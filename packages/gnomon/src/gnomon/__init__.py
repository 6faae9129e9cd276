"""The Gnomon SDK: metrics, traces and logs for a Python service in two lines.

    import gnomon
    gnomon.instrument(app)

Importing this package loads nothing else: what is named here is looked up when it is first used.
"""

__version__ = "0.1.0"
