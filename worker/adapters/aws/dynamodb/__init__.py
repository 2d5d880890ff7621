"""The catalog on one DynamoDB table: ``catalog.DynamoCatalog`` and what it is made of.

``schema`` is the table as data with its keys, ``items`` turns records into items and back,
``requests`` asks and retries. docs/catalog.md has the whole picture.
"""
