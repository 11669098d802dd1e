"""What is kept of a run, and that it is what was kept: folder, plan, evidence, manifest."""
