"""A Flower app that is audited: one node listens, one is the audited client."""
