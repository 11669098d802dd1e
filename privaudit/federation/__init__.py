"""Federated rounds: who holds what, what each client sends, what the server makes of it."""
