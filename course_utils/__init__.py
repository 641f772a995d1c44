"""The pruning course: everything its notebooks import."""
