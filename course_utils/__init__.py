"""The pruning course: what its notebooks import, and what builds, serves and grades them."""
