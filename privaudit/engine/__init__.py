"""Gradients, local training and evaluation of one model at any parameters."""
