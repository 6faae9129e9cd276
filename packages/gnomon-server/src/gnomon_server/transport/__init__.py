"""What every edge needs: an HTTP server with deadlines, bodies under a cap, compression, and errors as answers."""
