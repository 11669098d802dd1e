"""Traces of federations that run elsewhere: what a node or a server saw, kept and sealed."""
