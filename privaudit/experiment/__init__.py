"""The stages of a run, each from what the one before left in the run folder."""
