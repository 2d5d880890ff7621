"""Heavy work on AWS Batch: job kinds, submitting and the container entry point."""
