"""The glossary: that it is whole, that words are found in it, and that translations keep to it."""

# ruff: noqa: RUF001 (the letters that look Latin are Cyrillic, and meant to be)

import re
from pathlib import Path

import pytest
import yaml

from course_utils.quiz import bank, catalogues, glossary
from course_utils.quiz.glossary import every, find, inconsistencies, mistakes
from course_utils.quiz.translation import LANGUAGES, catalogue

OTHERS = [language for language in LANGUAGES if language != "en"]


def strays(english: str, translation: str, language: str) -> list[tuple[str, str]]:
    """(the English word, what stands there instead) of each term that the translation lacks."""
    found = inconsistencies({("k3v9qd.prompt", english): translation}, language)
    return [(stray.said, stray.instead) for stray in found]


# --- The course's own -----------------------------------------------------------------------------


def test_the_glossary_has_no_mistakes():
    assert mistakes() == []


def test_the_glossary_covers_every_lesson_with_eighty_terms_in_four_languages():
    assert len(every()) >= 80
    assert {term.lesson for term in every()} == {f"{number:02}" for number in range(12)}
    for term in every():
        assert list(term.words) == list(LANGUAGES), term.id


@pytest.mark.parametrize("language", OTHERS)
def test_the_definitions_keep_to_the_glossary_themselves(language):
    meanings = {
        (term.id, term.words["en"].meaning): term.words[language].meaning for term in every()
    }
    assert [str(stray) for stray in inconsistencies(meanings, language)] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_name_and_form_is_recognised_as_its_own_term(language):
    for term in every():
        words = term.words[language]
        for name in (words.term, *(form.replace("*", "") for form in words.forms)):
            lacking = [said for said, _ in strays(term.words["en"].term, name, language)]
            assert term.words["en"].term not in lacking, (term.id, name)


def test_a_definition_is_a_sentence_or_two():
    for term in every():
        for language, words in term.words.items():
            sentences = re.findall(r"[.?!](?=\s|$)", words.meaning)
            assert words.meaning.endswith("."), (term.id, language)
            assert 1 <= len(sentences) <= 3, (term.id, language)
            assert 20 < len(words.meaning) < 330, (term.id, language)


# --- Searching ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked, id_",
    [
        ("pruning", "pruning"),
        ("  Pruned? ", "pruning"),
        ("WEIGHTS", "weight"),
        ("latencies", "latency"),
        ("finetuning", "fine-tuning"),
        ("fine tuned", "fine-tuning"),
        ("layer wi", "layer-wise-pruning"),
        ("2:4", "n-m-sparsity"),
        ("knowledge distillation", "distillation"),
        ("saliency", "importance"),
        ("what is weight decay?", "weight-decay"),
        ("прореждане", "pruning"),
        ("КАНАЛИТЕ", "channel"),
        ("редкост", "sparsity"),
        ("лотарийния", "lottery-ticket-hypothesis"),
        ("cắt tỉa", "pruning"),
        ("cat tia", "pruning"),
        ("do thua", "sparsity"),
        ("độ  Trễ", "latency"),
        ("neuron", "neuron"),
        ("가지치기", "pruning"),
        ("가중치를", "weight"),
        ("미세조정", "fine-tuning"),
        ("매개변수", "parameter"),
    ],
)
def test_a_term_is_found_by_any_of_its_names_in_any_language(asked, id_):
    assert find(asked)[0].id == id_


def test_what_is_being_typed_finds_every_term_that_begins_so_the_shortest_way_first():
    found = [term.id for term in find("lay")]
    assert set(found) == {"layer", "layer-wise-pruning", "layer-collapse"}
    assert found[0] == "layer"


def test_a_name_inside_a_longer_one_is_not_what_was_asked_for():
    assert [term.id for term in find("how does weight decay work")] == ["weight-decay"]


@pytest.mark.parametrize("asked", ["", "   ", "?", "*", "zxqv", "(", "прррр"])
def test_nothing_is_found_where_nothing_fits(asked):
    assert find(asked) == []


def test_names_in_the_readers_language_come_first():
    """To "ti" an English reader may add "cket", a Vietnamese one has spelt tỉa already."""
    assert find("ti", "en")[0].id == "ticket"
    assert find("ti", "vi")[0].id == "pruning"


# --- Translations that keep to it -----------------------------------------------------------------

RIGHT = [
    (
        "How many weights of the second layer are left?",
        {
            "bg": "Колко от теглата на втория слой остават?",
            "vi": "Tầng thứ hai còn lại bao nhiêu trọng số?",
            "ko": "둘째 층에는 가중치가 몇 개 남습니까?",
        },
    ),
    (
        "A pruned network needs fine-tuning only where pruning broke something.",
        {
            "bg": "Проредената мрежа има нужда от фина настройка само там, където прореждането е "
            "счупило нещо.",
            "vi": "Mạng đã tỉa chỉ cần tinh chỉnh ở chỗ mà việc cắt tỉa làm hỏng điều gì đó.",
            "ko": "가지치기한 신경망은 가지를 친 탓에 망가진 곳이 있을 때만 미세조정이 필요합니다.",
        },
    ),
    (
        "Unstructured pruning keeps the shape of the tensor; structured pruning does not.",
        {
            "bg": "Неструктурираното прореждане запазва формата на тензора, структурираното не.",
            "vi": "Cắt tỉa phi cấu trúc giữ nguyên hình dạng của tensor, cắt tỉa có cấu trúc thì "
            "không.",
            "ko": "비구조적 가지치기는 텐서의 모양을 지키지만 구조적 가지치기는 그렇지 않습니다.",
        },
    ),
    (
        "Pruning in one shot at a high learning rate, over several seeds.",
        {
            "bg": "Еднократно прореждане при висока скорост на обучение и няколко зърна.",
            "vi": "Cắt tỉa một lần với tốc độ học cao, qua nhiều seed.",
            "ko": "높은 학습률과 여러 시드로 하는 일회성 가지치기.",
        },
    ),
    (
        "The optimizer's momentum and weight decay revive it; its learning rate is low.",
        {
            "bg": "Моментумът на оптимизатора и затихването на теглата го съживяват; скоростта му "
            "на обучение е ниска.",
            "vi": "Động lượng của bộ tối ưu hóa và suy giảm trọng số làm nó sống lại; tốc độ học "
            "thấp.",
            "ko": "옵티마이저의 모멘텀과 가중치 감쇠가 되살립니다. 학습률은 낮습니다.",
        },
    ),
    (
        "Each layer of the ticket was pruned globally by magnitude, then rewound.",
        {
            "bg": "Всеки слой на билета беше прореден глобално по големина, после превъртян.",
            "vi": "Mỗi tầng của vé được cắt tỉa toàn cục theo độ lớn, rồi tua lại.",
            "ko": "티켓의 모든 층을 크기에 따라 전역으로 가지치기한 다음 되감았습니다.",
        },
    ),
    (
        "The lottery ticket hypothesis speaks of a sparse network within a dense one.",
        {
            "bg": "Хипотезата за лотарийния билет говори за разредена мрежа вътре в плътна.",
            "vi": "Giả thuyết vé số nói về một mạng thưa bên trong mạng dày đặc.",
            "ko": "복권 가설은 밀집 신경망 안에 있는 희소 신경망에 관한 것입니다.",
        },
    ),
    (
        "A `weight` of BatchNorm, $w = \\text{scale}$, is **no** filter.",
        {
            "bg": "`weight` на BatchNorm, $w = \\text{scale}$, **не** е филтър.",
            "vi": "`weight` của BatchNorm, $w = \\text{scale}$, **không** phải là bộ lọc.",
            "ko": "BatchNorm의 `weight`, $w = \\text{scale}$는 필터가 **아닙니다**.",
        },
    ),
]


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("english, said", RIGHT)
def test_good_translations_raise_no_alarm(english, said, language):
    assert strays(english, said[language], language) == []


# Sentences with one word that the glossary has otherwise: what a second translator might write.
WRONG = [
    ("bg", "A layer was pruned.", "Един слой беше подрязан.", [("pruning", "")]),
    ("bg", "What is pruning?", "Какво е подрязване?", [("pruning", "подрязване")]),
    ("bg", "The sparsity is 90 %.", "Редкостта е 90 %.", [("sparsity", "")]),
    ("bg", "Global pruning", "Глобално подрязване", [("pruning", "подрязване")]),
    (
        "bg",
        "Structured pruning",
        "Неструктурирано прореждане",
        [("structured pruning", "")],
    ),
    ("bg", "A filter, not a mask.", "Филмова лента, а не маска.", [("filter", "")]),
    ("vi", "The second layer.", "Lớp thứ hai.", [("layer", "lớp")]),
    (
        "vi",
        "How large is the bias?",
        "Hệ số điều chỉnh lớn đến đâu?",
        [("bias", "hệ số điều chỉnh")],
    ),
    ("vi", "Two channels.", "Hai kềnh.", [("channel", "")]),  # another tone, another word
    (
        "vi",
        "Structured pruning",
        "Cắt tỉa phi cấu trúc",
        [("structured pruning", "")],
    ),
    ("ko", "The second layer.", "둘째 레이어.", [("layer", "레이어")]),
    (
        "ko",
        "Pruned parameters",
        "프루닝한 매개변수",
        [("pruning", "프루닝"), ("parameter", "매개변수")],
    ),
    ("ko", "Structured pruning", "비구조적 가지치기", [("structured pruning", "")]),
    ("ko", "A mask, no bitmask.", "비트마스크가 아닙니다.", [("mask", "")]),
]


@pytest.mark.parametrize("language, english, said, lacks", WRONG)
def test_another_word_for_a_term_is_noticed(language, english, said, lacks):
    assert strays(english, said, language) == lacks


def test_where_tone_marks_stand_in_vietnamese_does_not_matter():
    assert glossary._plain("hoá, thuỷ, HOÀ, khoẻ, hoàn") == "hóa, thủy, hòa, khỏe, hoàn"


def test_a_word_that_means_something_else_in_a_phrase_is_left_alone():
    assert strays("It is in your head.", "마음속에 있습니다.", "ko") == []
    assert strays("The ratio of their times is 2.", "Отношението на времената им е 2.", "bg") == []
    assert strays("One head.", "마음 하나.", "ko") == [("head", "")]


def test_what_was_left_in_english_on_purpose_is_left_alone():
    assert strays("weight", "weight", "ko") == []
    assert strays("The weight", "weight", "ko") == [("weight", "weight")]


def test_code_is_nobodys_language():
    assert strays("Call `layer.weight`.", "Обадете се.", "bg") == []
    assert strays("A layer.", "`слой`", "bg") == [("layer", "")]


def test_an_alarm_says_where_and_what_was_wanted():
    messages = {("k3v9qd.prompt", "A layer."): "Một lớp.", ("interface", "Next"): "Tiếp"}
    (stray,) = inconsistencies(messages, "vi")
    assert (stray.context, stray.english) == ("k3v9qd.prompt", "A layer.")
    assert str(stray) == "k3v9qd.prompt: “layer” is “tầng” in the glossary, not “lớp”."


# --- What is wrong with a glossary ----------------------------------------------------------------

LESSON = """
# %% [markdown]
# # 00 · Start here
# ## Key concepts
#
# - **Masks** and weights.
"""
SMALL = """
- id: weight
  lesson: "00"
  heading: Key concepts
  en: {term: weight, meaning: A number.}
  bg: {term: тегло, forms: [тегл*], meaning: Число.}
  vi: {term: trọng số, meaning: Một con số.}
  ko: {term: 가중치, meaning: 수.}
- id: mask
  lesson: "00"
  heading: Key concepts
  en: {term: mask, meaning: What stays.}
  bg: {term: маска, forms: [маск*], meaning: Какво остава.}
  vi: {term: mặt nạ, meaning: Cái gì ở lại.}
  ko: {term: 마스크, meaning: 남는 것.}
"""


@pytest.fixture
def judged(tmp_path):
    """What is wrong with a glossary, as (line, sentence)."""
    (tmp_path / "00_start.py").write_text(LESSON, encoding="utf-8")

    def judge(text: str | bytes) -> list[tuple[int, str]]:
        path = tmp_path / "glossary.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        found = mistakes(path, tmp_path)
        assert all(problem.file == f"{tmp_path.name}/glossary.yaml" for problem in found)
        return [(problem.line, problem.sentence) for problem in found]

    return judge


def test_a_small_glossary_is_read(tmp_path, judged):
    assert judged(SMALL) == []
    weight, mask = every(tmp_path / "glossary.yaml")
    assert (weight.id, weight.lesson, weight.heading) == ("weight", "00", "Key concepts")
    assert weight.words["bg"].forms == ("тегл*",)
    assert mask.words["ko"] == ("마스크", "남는 것.", (), (), ())


@pytest.mark.parametrize(
    "old, new, line, sentence",
    [
        ("  vi: {term: mặt nạ, meaning: Cái gì ở lại.}\n", "", 9, "`vi` is missing."),
        ("term: mask, ", "", 12, "`term` is missing."),
        ("meaning: Число.", "meaning: ''", 6, "`meaning` must be text"),
        ("meaning: Число.", "meaning: 3", 6, "`meaning` must be text: put it in quotation marks."),
        ("forms: [маск*]", "forms: маск*", 13, "`forms` must be a list of texts."),
        ("forms: [маск*]", "forms: [2]", 13, "`forms` must be a list of texts."),
        ("forms: [маск*]", "stems: [маск*]", 13, "there is no field `stems`."),
        ("  ko: {term: 마스크, meaning: 남는 것.}", "  ko: 마스크", 15, "here must be term"),
        ('- id: mask\n  lesson: "00"', "- id: mask\n  lesson: 00", 10, "`lesson` must be text"),
        ("id: mask", "id: Mask_1", 9, "small letters and hyphens"),
        ("id: mask", "id: weight", 9, "there is a term with this id already."),
        ("heading: Key concepts\n  en: {term: m", "heading: Key\n  en: {term: m", 11, "no heading"),
        ("en: {term: mask", "en: {term: veil", 10, "lesson 00 never says “veil”."),
        ("term: mặt nạ", "term: Trọng số", 14, "“trọng số” is a name of weight already"),
        ("forms: [маск*]", "forms: [маск*, тегл*]", 13, "“тегл*” is a name of weight already"),
        ("- id: mask", "- id: mask\n  id: veil", 10, "`id` is written twice here"),
        ("term: mask,", "term: mask, term: veil,", 12, "`term` is written twice here"),
    ],
)
def test_what_is_wrong_with_a_term_is_said_with_its_line(judged, old, new, line, sentence):
    assert old in SMALL
    found = judged(SMALL.replace(old, new))
    assert any(where == line and sentence in said for where, said in found), found


def test_two_terms_may_share_a_name_if_one_says_so(judged):
    shared = SMALL.replace("term: mặt nạ", "term: trọng số")
    assert len(judged(shared)) == 1
    assert judged(shared.replace("id: mask", "id: mask\n  shares: [weight]")) == []


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("- id: [", "this cannot be read as YAML"),
        (b"- id: \xff", "this cannot be read as YAML"),
        ("id: weight", "this file must be a list of terms."),
        ("", "this file must be a list of terms."),
        ("- weight", "here must be id"),
    ],
)
def test_a_file_that_is_no_glossary_is_said_to_be_none(judged, text, sentence):
    ((_, said),) = judged(text)
    assert sentence in said


def test_lessons_that_are_not_at_hand_are_not_missed(tmp_path, judged):
    judged(SMALL)
    assert mistakes(tmp_path / "glossary.yaml", tmp_path / "nowhere") == []


def test_the_glossary_travels_with_the_package():
    assert glossary.FILE.is_relative_to(Path(glossary.__file__).parent)
    assert isinstance(yaml.safe_load(glossary.FILE.read_text(encoding="utf-8")), list)


# --- The course's own translations ----------------------------------------------------------------


@pytest.mark.parametrize("language", OTHERS)
def test_questions_and_review_are_translated_and_keep_to_the_glossary(language):
    messages = catalogue(language)
    wanted = [*catalogues.of_interface()[0], *catalogues.of_items("", bank.load().values())]
    assert {(text.context, text.english) for text in wanted} - set(messages) == set()
    assert list(inconsistencies(messages, language)) == []
