"""What an attack is given and what it must give back. Everything an attack may import is here,
in ``privaudit.observation`` and in ``privaudit.engine``.
"""
