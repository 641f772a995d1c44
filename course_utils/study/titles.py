"""What the lessons are called, in the learner's language. (Their own headings are English.)"""

from course_utils.quiz.translation import say


def named(lesson: str) -> str:
    """A lesson's number, and what it is called if it is one of the course's own."""
    return " · ".join(filter(None, (lesson, _titles().get(lesson))))


def _titles() -> dict[str, str]:
    return {
        "00": say("Start here"),
        "01": say("Networks and weights"),
        "02": say("Weight importance"),
        "03": say("Unstructured pruning"),
        "04": say("PyTorch's own tools"),
        "05": say("Structured pruning"),
        "06": say("Fine-tuning"),
        "07": say("How much, and where"),
        "08": say("Lottery tickets"),
        "09": say("Shipping it"),
        "10": say("Capstone: fit the device"),
        "11": say("Bonus: transformers"),
    }
