"""Worlds whose truth is known, put through the real machinery: does it measure what is there?"""
