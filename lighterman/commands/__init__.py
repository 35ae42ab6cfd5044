"""The commands that look and tell: each module has a ``configure(flags)`` and a ``run(arguments, context)``."""
