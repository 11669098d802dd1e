"""Rebuilding the records of a batch from the gradient they made.

``tables``, ``words``, ``images`` and ``labels`` are attacks on what was seen of a round, the others
functions of arrays.
"""
