"""Starting programs and sandboxed children with limits, and ending them."""
