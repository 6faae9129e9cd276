"""Edges in, thin: read a request, ask who may, decode, wait for the commit, reply in the protocol's words."""
