"""Edges in, thin: each reads a request, asks who may, decodes, waits for the commit, replies in its protocol's words."""
