"""Who carries out the tasks of a run: this process, worker processes here, or other machines.

The process that holds keys and passwords never runs a model, a training or an attack: these are
other people's code. It hands them to worker processes (:mod:`.local`) whose environment holds no
secret (:mod:`.environment`), which die with it, and whose death it survives. Other machines
(:mod:`.on_ray`, :mod:`.on_slurm`) are reached through one such process (:mod:`.broker`), with all
that a task needs (:mod:`.parcel`).
"""
