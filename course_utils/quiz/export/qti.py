"""Questions as QTI 1.2 in the way of Canvas, which several other systems read too: a quiz a lesson.

The elements are those that text2qti writes, whose files Canvas takes; tests/quiz/test_export_qti.py
compares the two and says where and why this one differs. Not tried in a Canvas.
"""

from html import escape
from itertools import groupby
from string import ascii_lowercase
from urllib.parse import quote

from course_utils.quiz import markup
from course_utils.quiz.bank import CHOICES, Item
from course_utils.quiz.export import parts
from course_utils.quiz.export.parts import IN_A_QUIZ, Loss, element, number
from course_utils.quiz.translation import say

LOSSES: list[Loss] = [
    *IN_A_QUIZ,
    (parts.anything, "concepts and misconceptions: there are no tags"),
    (
        lambda item: bool(item.distractors) and item.type not in CHOICES,
        "telling only those who gave a typical wrong answer what is wrong with it: all see it",
    ),
    (
        lambda item: item.type == "multi",
        "partial credit, except in Canvas, which has a rule for it",
    ),
    (
        lambda item: item.type == "predict" and "\n" not in item.answer,
        "telling capital letters from small ones, and passing over spaces, in a printed line",
    ),
    (lambda item: bool(item.unit), "the unit: the question names it, and a number is typed"),
    (
        lambda item: any("$" in text for text in _texts(item)),
        "formulas outside Canvas, which draws them: elsewhere their LaTeX is shown",
    ),
]

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_QTI = "http://www.imsglobal.org/xsd/ims_qtiasiv1p2"
_CANVAS = "http://canvas.instructure.com/xsd/cccv1p0"
_PACKAGE = "http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1"
_RESOURCE = "http://ltsc.ieee.org/xsd/imsccv1p1/LOM/resource"
_METADATA = "http://www.imsglobal.org/xsd/imsmd_v1p2"


def package(items: list[Item]) -> bytes:
    quizzes = {name: list(some) for name, some in groupby(items, key=_quiz_name)}
    pictures = [item for item in items if item.picture]
    files = {"imsmanifest.xml": _manifest(list(quizzes), pictures)}
    for name, of_quiz in quizzes.items():
        title = f"{say('Pruning course')}, {say('lesson {lesson}', lesson=of_quiz[0].lesson)}"
        files[f"{name}/assessment_meta.xml"] = _settings(name, title, of_quiz)
        files[f"{name}/{name}.xml"] = _assessment(name, title, of_quiz)
    files |= {_picture_path(item): parts.picture(item) for item in pictures}
    return parts.archive(files)


def _quiz_name(item: Item) -> str:
    return f"pruning_course_{item.lesson}"


def _picture_path(item: Item) -> str:
    return f"images/pruning_course_{item.id}.png"


# --- The package ----------------------------------------------------------------------------------


def _manifest(quizzes: list[str], pictures: list[Item]) -> bytes:
    title = element(
        "imsmd:lom",
        element(
            "imsmd:general", element("imsmd:title", element("imsmd:string", say("Pruning course")))
        ),
    )
    resources = []
    for name in quizzes:
        settings = f"{name}/assessment_meta.xml"
        resources += [
            element(
                "resource",
                element("file", href=f"{name}/{name}.xml"),
                element("dependency", identifierref=f"{name}_settings"),
                identifier=name,
                type="imsqti_xmlv1p2",
            ),
            element(
                "resource",
                element("file", href=settings),
                identifier=f"{name}_settings",
                type="associatedcontent/imscc_xmlv1p1/learning-application-resource",
                href=settings,
            ),
        ]
    resources += [
        element(
            "resource",
            element("file", href=_picture_path(item)),
            identifier=f"pruning_course_picture_{item.id}",
            type="webcontent",
            href=_picture_path(item),
        )
        for item in pictures
    ]
    schemas = [
        (_PACKAGE, "http://www.imsglobal.org/xsd/imscp_v1p1.xsd"),
        (_RESOURCE, "http://www.imsglobal.org/profile/cc/ccv1p1/LOM/ccv1p1_lomresource_v1p0.xsd"),
        (_METADATA, "http://www.imsglobal.org/xsd/imsmd_v1p2p2.xsd"),
    ]
    return parts.document(
        element(
            "manifest",
            element(
                "metadata",
                element("schema", "IMS Content"),
                element("schemaversion", "1.1.3"),
                title,
            ),
            element("organizations"),
            element("resources", *resources),
            identifier="pruning_course_manifest",
            **{
                "xmlns": _PACKAGE,
                "xmlns:lom": _RESOURCE,
                "xmlns:imsmd": _METADATA,
                "xmlns:xsi": _XSI,
                "xsi:schemaLocation": " ".join(f"{space} {file}" for space, file in schemas),
            },
        )
    )


_QUIZ_SETTINGS = {
    "shuffle_answers": "true",
    "scoring_policy": "keep_highest",
    "hide_results": "",
    "quiz_type": "assignment",
    "points_possible": "{points}",
    "require_lockdown_browser": "false",
    "require_lockdown_browser_for_results": "false",
    "require_lockdown_browser_monitor": "false",
    "lockdown_browser_monitor_data": "",
    "show_correct_answers": "true",
    "anonymous_submissions": "false",
    "could_be_locked": "false",
    "allowed_attempts": "1",
    "one_question_at_a_time": "false",
    "cant_go_back": "false",
    "available": "false",
    "one_time_results": "false",
    "show_correct_answers_last_attempt": "false",
    "only_visible_to_overrides": "false",
    "module_locked": "false",
}
_ASSIGNMENT_SETTINGS = {
    "due_at": "",
    "lock_at": "",
    "unlock_at": "",
    "module_locked": "false",
    "workflow_state": "unpublished",
    "assignment_overrides": "",
    "quiz_identifierref": "{name}",
    "allowed_extensions": "",
    "has_group_category": "false",
    "points_possible": "{points}",
    "grading_type": "points",
    "all_day": "false",
    "submission_types": "online_quiz",
    "position": "1",
    "turnitin_enabled": "false",
    "vericite_enabled": "false",
    "peer_review_count": "0",
    "peer_reviews": "false",
    "automatic_peer_reviews": "false",
    "anonymous_peer_reviews": "false",
    "grade_group_students_individually": "false",
    "freeze_on_copy": "false",
    "omit_from_final_grade": "false",
    "intra_group_peer_reviews": "false",
    "only_visible_to_overrides": "false",
    "post_to_sis": "false",
    "moderated_grading": "false",
    "grader_count": "0",
    "grader_comments_visible_to_graders": "true",
    "anonymous_grading": "false",
    "graders_anonymous_to_graders": "false",
    "grader_names_visible_to_final_grader": "true",
    "anonymous_instructor_annotations": "false",
}


def _settings(name: str, title: str, items: list[Item]) -> bytes:
    """Canvas's own: an unpublished quiz, all of which an instructor can change there."""
    points = f"{sum(item.points for item in items):.1f}"

    def settings(of: dict[str, str]) -> list[str]:
        return [element(key, text.format(name=name, points=points)) for key, text in of.items()]

    policy = element("post_policy", element("post_manually", "false"))
    assignment = element(
        "assignment",
        element("title", title),
        *settings(_ASSIGNMENT_SETTINGS),
        policy,
        identifier=f"{name}_assignment",
    )
    return parts.document(
        element(
            "quiz",
            element("title", title),
            element("description"),
            *settings(_QUIZ_SETTINGS),
            assignment,
            element("assignment_group_identifierref", "pruning_course_assignments"),
            element("assignment_overrides"),
            identifier=name,
            **{
                "xmlns": _CANVAS,
                "xmlns:xsi": _XSI,
                "xsi:schemaLocation": f"{_CANVAS} https://canvas.instructure.com/xsd/cccv1p0.xsd",
            },
        )
    )


# --- Questions ------------------------------------------------------------------------------------


def _assessment(name: str, title: str, items: list[Item]) -> bytes:
    return parts.document(
        element(
            "questestinterop",
            element(
                "assessment",
                _metadata(cc_maxattempts="1"),
                element("section", *map(_question, items), ident="root_section"),
                ident=name,
                title=title,
            ),
            **{
                "xmlns": _QTI,
                "xmlns:xsi": _XSI,
                "xsi:schemaLocation": f"{_QTI} {_QTI}p1.xsd",
            },
        )
    )


def _question(item: Item) -> str:
    type_, answer_ids, prompt, responses, conditions = _MAKERS[item.type](item)
    # the explanation first: it is shown whatever is answered, and the next conditions may end it
    about = {"general_fb": _feedback(item)} | _feedback_by_choice(item)
    shown = [
        _condition(element("other") if name == "general_fb" else _equal(name[:-3]), feedback=name)
        for name in about
    ]
    ordered = [*conditions, *shown] if type_ == "essay_question" else [*shown, *conditions]
    score = {"maxvalue": "100", "minvalue": "0", "varname": "SCORE", "vartype": "Decimal"}
    return element(
        "item",
        element(
            "itemmetadata",
            _metadata(
                question_type=type_,
                points_possible=number(item.points),
                original_answer_ids=",".join(answer_ids),
                assessment_question_identifierref=f"question_ref_{item.id}",
            ),
        ),
        element("presentation", _material(prompt), *responses),
        element(
            "resprocessing",
            element("outcomes", element("decvar", **score)),
            *ordered,
        ),
        *(
            element("itemfeedback", element("flow_mat", _material(text)), ident=name)
            for name, text in about.items()
        ),
        ident=f"question_{item.id}",
        title=item.id,
    )


def _choice(item: Item):
    choices = _choices(item)
    right = range(parts.right_options(item))
    labels = [
        element("response_label", _material(_html(item.options[index])), ident=ident)
        for index, ident in choices.items()
    ]
    several = item.type == "multi"
    if several:
        tests = [
            _equal(ident) if index in right else element("not", _equal(ident))
            for index, ident in choices.items()
        ]
        met = element("and", *tests)
    else:
        met = _equal(next(ident for index, ident in choices.items() if index in right))
    prompt = _html(item.prompt)
    if item.picture:
        source = f"%24IMS-CC-FILEBASE%24/{_picture_path(item)}"
        prompt += f'<p><img alt="{escape(item.alt)}" src="{source}"></p>'
    response = element(
        "response_lid",
        element("render_choice", *labels),
        ident="response1",
        rcardinality="Multiple" if several else "Single",
    )
    type_ = "multiple_answers_question" if several else "multiple_choice_question"
    return type_, choices.values(), prompt, [response], [_condition(met, points="100")]


def _number(item: Item):
    exact, low, high = map(
        number, (item.answer, item.answer - item.tolerance, item.answer + item.tolerance)
    )
    span = element(
        "and",
        element("vargte", low, respident="response1"),
        element("varlte", high, respident="response1"),
    )
    met = element("or", _equal(exact), span)
    field = element("render_fib", element("response_label", ident="answer1"), fibtype="Decimal")
    prompt = _html(item.prompt) + (f"<p>({escape(item.unit)})</p>" if item.unit else "")
    return (
        "numerical_question",
        [f"{item.id}_number"],
        prompt,
        [element("response_str", field, ident="response1", rcardinality="Single")],
        [_condition(met, points="100")],
    )


def _printed(item: Item):
    if parts.on_several_lines(item):  # the field for an answer has one line
        return _open(item)
    return _short(item, _html(item.prompt), parts.output(item))


def _cloze(item: Item):
    if len(item.answer) == 1:
        return _short(item, _html(item.prompt), item.answer[0])
    names = [f"blank{n}" for n, _ in enumerate(item.answer, 1)]
    ids, responses, conditions = [], [], []
    for name, admitted in zip(names, item.answer, strict=True):
        idents = [f"{item.id}_{name}_{letter}" for letter in ascii_lowercase[: len(admitted)]]
        labels = [
            element("response_label", _material(escape(text), "text/plain"), ident=ident)
            for ident, text in zip(idents, admitted, strict=True)
        ]
        responses.append(
            element(
                "response_lid",
                element("material", element("mattext", name)),
                element("render_choice", *labels),
                ident=f"response_{name}",
            )
        )
        share = f"{100 / len(names):.2f}"
        conditions.append(
            _condition(_equal(idents[0], f"response_{name}"), points=share, action="Add")
        )
        ids += idents
    prompt = parts.filled(item, _html(item.prompt), (f"[{name}]" for name in names))
    return "fill_in_multiple_blanks_question", ids, prompt, responses, conditions


def _short(item: Item, prompt: str, admitted):
    ids = [f"{item.id}_{letter}" for letter in ascii_lowercase[: len(admitted)]]
    met = [_equal(escape(text)) for text in admitted]
    condition = _condition(*met, points="100")
    return "short_answer_question", ids, prompt, [_field()], [condition]


def _open(item: Item):
    ended = element(
        "respcondition", element("conditionvar", element("other")), **{"continue": "No"}
    )
    return "essay_question", [], _html(item.prompt), [_field()], [ended]


_MAKERS = {
    "recall": _open,
    "mcq": _choice,
    "multi": _choice,
    "plot": _choice,
    "cloze": _cloze,
    "numeric": _number,
    "predict": _printed,
}


def _feedback(item: Item) -> str:
    """What everybody is told. Wrong answers that are typed cannot be told apart here, so all of
    them are explained."""
    model = ""
    if item.type == "recall":
        model = _html(item.answer)
    elif parts.on_several_lines(item):
        model = parts.printed(item.answer)
    wrong = () if item.type in CHOICES else item.distractors
    about = "".join(parts.wrong_answer(item, d, _html) for d in wrong)
    return f"{model}{_html(item.explanation)}{about}<p>{escape(parts.place(item))}</p>"


def _feedback_by_choice(item: Item) -> dict[str, str]:
    first_wrong = parts.right_options(item)
    return {
        f"{ident}_fb": _html(item.distractors[index - first_wrong].why)
        for index, ident in _choices(item).items()
        if index >= first_wrong
    }


def _choices(item: Item) -> dict[int, str]:
    """The options' indices and identifiers, in the order in which they are shown."""
    letters = zip(item.shown("qti"), ascii_lowercase, strict=False)
    return {index: f"{item.id}_{letter}" for index, letter in letters}


def _metadata(**fields: str) -> str:
    return element(
        "qtimetadata",
        *(
            element("qtimetadatafield", element("fieldlabel", key), element("fieldentry", value))
            for key, value in fields.items()
        ),
    )


def _material(text: str, type_: str = "text/html") -> str:
    content = escape(text, quote=False) if type_ == "text/html" else text
    return element("material", element("mattext", content, texttype=type_))


def _field() -> str:
    field = element("render_fib", element("response_label", ident="answer1", rshuffle="No"))
    return element("response_str", field, ident="response1", rcardinality="Single")


def _equal(value: str, response: str = "response1") -> str:
    return element("varequal", value, respident=response)


def _condition(*met: str, points: str = "", feedback: str = "", action: str = "Set") -> str:
    """Points end the search for other conditions, unless they are added up; feedback does not."""
    then = []
    if points:
        then.append(element("setvar", points, action=action, varname="SCORE"))
    if feedback:
        shown = {"feedbacktype": "Response", "linkrefid": feedback}
        then.append(element("displayfeedback", **shown))
    goes_on = "Yes" if feedback or action == "Add" else "No"
    return element("respcondition", element("conditionvar", *met), *then, **{"continue": goes_on})


def _html(text: str) -> str:
    return markup.html(text, formula=_equation)


def _equation(tex: str) -> str:
    """Canvas draws formulas as pictures; without it their LaTeX is read as the picture's name."""
    latex = escape(tex)
    return (
        f'<img class="equation_image" title="{latex}" src="/equation_images/{quote(tex, safe="")}'
        f'?scale=1" alt="LaTeX: {latex}" data-equation-content="{latex}" data-ignore-a11y-check="">'
    )


def _texts(item: Item) -> list[str]:
    right = [item.answer] if isinstance(item.answer, str) else []
    wrong = [text for d in item.distractors for text in (d.text, d.why)]
    return [item.prompt, item.explanation, *right, *item.options, *wrong]
