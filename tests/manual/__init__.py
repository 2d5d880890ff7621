"""The manual: pages that are written from the code, commands that are run as pages show them."""
