"""The HTTP API: one app, behind an API Gateway on AWS and on a loopback port in the local stack."""
