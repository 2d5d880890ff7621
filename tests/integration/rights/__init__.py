"""What roles are asked for and what they allow: recorded calls, IAM actions, policies."""
