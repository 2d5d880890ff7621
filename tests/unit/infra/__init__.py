"""What is made of a declaration (plans, graphs), and what is read of a deployed stack."""
