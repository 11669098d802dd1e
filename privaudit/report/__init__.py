"""Tables, figures and the page: pure functions of the records of a run."""
