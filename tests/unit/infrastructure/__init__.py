"""What is made of a declaration (plans, pictures), and what is read of a deployed stack."""
