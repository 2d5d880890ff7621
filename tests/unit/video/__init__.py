"""Tests of video work, on films made by ffmpeg's own test sources."""
