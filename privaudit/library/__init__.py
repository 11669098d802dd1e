"""What programs and notebooks use: scores judged, own models audited, runs opened."""
