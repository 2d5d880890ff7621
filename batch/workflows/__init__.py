"""State machines: workflows compiled to the Amazon States Language, deployed by ``pulumi/``."""
