"""Where scores meet the ground truth, and what follows from it: records and table cells."""
