"""Attack modules. They see observations, auxiliary data and the model, and nothing else."""
