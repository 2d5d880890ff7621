"""The catalog on one DynamoDB table: ``catalog.DynamoCatalog`` and what it is made of.

``schema`` is the table as data, ``keys`` and ``items`` say where and how things lie in it,
``requests`` asks and retries, ``failures`` maps errors. docs/catalog.md has the whole picture.
"""
