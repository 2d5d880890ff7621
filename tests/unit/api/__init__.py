"""The API: uploads, assets, rights, problems, and the document that describes it."""
