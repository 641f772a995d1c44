"""What `soak_anki.py` has Anki do, in an environment that holds Anki and nothing of the course.

Reads one request as JSON, does it in the collection that is named there, and prints what came of it
as JSON: "import" a package, "review" cards, "edit" a note, "look" at what there is.
"""

import json
import sys
from pathlib import Path

from anki.collection import Collection, ImportAnkiPackageRequest
from anki.import_export_pb2 import IMPORT_ANKI_PACKAGE_UPDATE_CONDITION_ALWAYS


def import_(collection: Collection, file: str, always: bool = False) -> dict[str, int]:
    """With the options that Anki's own window proposes, or with notes updated always."""
    options = collection._backend.get_import_anki_package_presets()
    if always:
        options.update_notes = IMPORT_ANKI_PACKAGE_UPDATE_CONDITION_ALWAYS
    log = collection.import_anki_package(
        ImportAnkiPackageRequest(package_path=file, options=options)
    ).log
    kinds = ("new", "updated", "duplicate", "conflicting", "missing_notetype", "missing_deck")
    return {kind: len(getattr(log, kind)) for kind in kinds if len(getattr(log, kind))}


def review(collection: Collection, count: int) -> list[str]:
    """Answer the first cards of the course's deck; the GUIDs of their notes."""
    collection.decks.select(collection.decks.id("Pruning course"))
    answered = []
    for number in range(count):
        card = collection.sched.getCard()
        card.start_timer()
        collection.sched.answerCard(card, 4 if number % 2 else 3)  # easy, good
        answered.append(card.note().guid)
    return answered


def edit(collection: Collection, guid: str, field: str, text: str) -> None:
    note = collection.get_note(collection.db.scalar("SELECT id FROM notes WHERE guid = ?", guid))
    note[field] = text
    collection.update_note(note)


def look(collection: Collection) -> dict:
    cards = [collection.get_card(id_) for id_ in collection.find_cards("")]
    problems, sound = collection.fix_integrity()
    media = collection.media.check()
    return {
        "notes": {card.note().guid: note(card) for card in cards},
        "cards": len(cards),
        "decks": sorted({collection.decks.name(card.did) for card in cards}),
        "note types": sorted({card.note_type()["name"] for card in cards}),
        "css": cards[0].note_type()["css"],
        "sound": sound,
        "problems": problems,
        "missing media": list(media.missing),
        "unused media": list(media.unused),
    }


def note(card) -> dict:
    collection = card.col
    history = collection.db.all("SELECT * FROM revlog WHERE cid = ? ORDER BY id", card.id)
    names = collection.media.files_in_str(card.note().mid, " ".join(card.note().fields))
    folder = Path(collection.media.dir())
    return {
        "fields": dict(card.note().items()),
        "tags": card.note().tags,
        "question": card.question(),
        "answer": card.answer(),
        "schedule": [card.id, card.type, card.queue, card.due, card.ivl, card.factor, card.reps],
        "history": history,
        "pictures": [(folder / name).read_bytes().hex() for name in names],
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    opened = Collection(asked["collection"])
    done = {
        "import": lambda: import_(opened, asked["file"], asked.get("always", False)),
        "review": lambda: review(opened, asked["count"]),
        "edit": lambda: edit(opened, asked["guid"], asked["field"], asked["text"]),
        "look": lambda: look(opened),
    }[asked["do"]]()
    opened.close()
    print(json.dumps(done))
