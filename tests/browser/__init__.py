"""What a browser makes of the files: Debian's ``chromium``. Left out where it is missing."""
