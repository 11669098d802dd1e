"""Attacks on membership: was this record trained on?"""
