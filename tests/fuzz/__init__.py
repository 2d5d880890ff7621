"""Fuzzing: inputs that nobody thought of, for everything that reads bytes from outside.

``targets`` names what is fuzzed, ``campaign`` runs targets, ``mutations`` damages files for
``corpus``, which sends them through the sandbox. ``python -m tests.fuzz`` is the command.
"""
