"""From one text file a lesson to its two notebooks: `course build`, and what tests need of it."""
