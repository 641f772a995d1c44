"""The question bank: what is asked, what counts as right, when it is asked again, and how the
questions travel to other programs. What a learner sees of it is in `study`."""
