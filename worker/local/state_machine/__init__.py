"""State machines on one machine: what Step Functions does with ``batch/workflows/*.asl.json``.

The same file that is deployed is interpreted, so that what works here is what runs there. Only
the part of the Amazon States Language that those files use is understood; anything else is refused
when a file is read, never passed over. ``definition`` reads and checks a file, ``paths`` is its
expressions, ``evaluate`` decides what is next, ``store`` remembers, ``tasks`` does the work, and
``process`` is the child of the local stack that drives them.
"""
