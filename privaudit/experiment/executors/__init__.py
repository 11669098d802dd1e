"""Who carries out the tasks of a run: this process, or worker processes on this machine.

The process that holds keys and passwords never runs a model, a training or an attack: these are
other people's code. It hands them to worker processes (:mod:`.local`) whose environment holds no
secret (:mod:`.environment`), which die with it, and whose death it survives.
"""
