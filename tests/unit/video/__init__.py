"""Tests of video work, on videos made by ffmpeg's own test sources."""
