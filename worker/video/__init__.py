"""Video: ffmpeg programs started safely, and what is read from and made of moving pictures.

What lives here: plain paths and values in and out. What may not: a network, AWS, anything of
``batch``; starting ffmpeg or ffprobe anywhere but in ``program``.
"""
