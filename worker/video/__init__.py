"""Video: ffmpeg programs started safely, and what is read from and made of moving pictures."""
