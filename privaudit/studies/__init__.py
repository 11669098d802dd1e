"""Several audits of one scenario: how each is planned, run, read and told."""
