"""``make deploy``, ``destroy`` and ``preview``, with programs that only write down their use."""
