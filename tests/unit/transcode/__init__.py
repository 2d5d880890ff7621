"""Tests of transcoding: ladder, cuts, parts, packages and the operations over them."""
