"""Functions of the delivery network, in an engine like CloudFront's and in the local stack's."""
