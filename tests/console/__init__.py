"""The console in a browser: headless Chromium, driven by Playwright."""
