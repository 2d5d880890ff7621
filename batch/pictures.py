"""Parameters of the video operations by type; the methods of ``Work`` do the same."""

from __future__ import annotations

from batch.work import Work

step = Work.step
integer = Work.integer
number = Work.number
text = Work.text
