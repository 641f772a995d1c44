"""What a browser needs so that the widgets of a quiz suit hands, eyes and ears: a style sheet and a
short script, sent as HTML with each quiz. They work in any JupyterLab and ask nothing of its
settings; without them a quiz is plainer but can still be answered with a mouse.
"""

_ROWS = "\n".join(
    f""".course-options .widget-radio-box > label:nth-child({row}),
.course-options > .widget-checkbox:nth-child({row}) > .widget-label-basic,
.course-options .course-rows > :nth-child({row}) {{ grid-row: {row}; }}"""
    for row in range(1, 13)
)

_STYLE = f"""
.course-quiz {{ max-width: 46em; color: var(--jp-content-font-color1, inherit);
  --jp-widgets-color: var(--jp-content-font-color1); --jp-widgets-label-color: currentcolor; }}
.course-quiz, .course-quiz .jupyter-widgets {{ font-size: var(--jp-content-font-size1, 14px); }}
.course-quiz .widget-htmlmath-content, .course-quiz .widget-html-content {{ line-height: 1.5; }}
.course-quiz .jp-RenderedHTMLCommon {{ padding: 0; }}
.course-quiz p {{ margin: 0 0 0.4em; }}
.course-quiz img {{ max-width: 100%; background: white; }}
.course-question {{ padding: 0.6em 0.8em; margin: 0.3em 0; gap: 0.4em; overflow: visible; }}
.course-quiz > .course-question + .course-question {{
  border-top: 1px solid var(--jp-border-color2, #ddd); }}
.course-quiz .widget-box {{ overflow: visible; }}
.course-quiz .course-verdict {{ width: auto; margin: 0; }}
.course-verdict .widget-htmlmath-content {{ flex-grow: 1; }}
.course-progress {{ padding: 0.3em 0.8em; }}

/* The row of an option is the label of its input; the option itself lies over it. */
.course-options {{ display: grid !important; grid-template-columns: 2.4em 1fr; }}
.course-options > .widget-radio, .course-options .widget-radio-box,
.course-options > .widget-checkbox, .course-options > .widget-htmlmath,
.course-options .widget-htmlmath-content, .course-options .course-rows {{ display: contents; }}
.course-options .widget-radio-box > label, .course-options .widget-label-basic {{
  grid-column: 1 / -1; width: auto; height: auto; margin: 0; padding: 5px 8px;
  border-radius: 3px; font-size: 0; cursor: pointer; display: block; }}
.course-options label:not(:has(:disabled)):hover, .course-options label:has(:disabled:checked) {{
  background: var(--jp-layout-color2, #eee); }}
.course-options input {{ width: 16px; height: 16px; margin: 4px 0 0 !important; float: left; }}
.course-options .course-rows > div {{
  grid-column: 2; padding: 5px 8px 5px 0; pointer-events: none; z-index: 1; }}
.course-options .course-rows p:last-child {{ margin: 0; }}
{_ROWS}

.course-in-a-row .widget-radio-box {{ flex-direction: row; flex-wrap: wrap; gap: 0.2em 1.4em; }}
.course-in-a-row, .course-in-a-row .widget-radio-box, .course-quiz .widget-textarea,
.course-quiz .widget-text {{ width: auto; height: auto; margin-bottom: 0 !important; }}
.course-in-a-row .widget-radio-box > label {{ width: auto; padding: 0 0.3em; }}
.course-quiz .widget-text {{ max-width: 28em; }}
.course-quiz .widget-button {{ width: auto; padding: 0 1.2em; align-self: flex-start;
  margin-top: 0.4em; }}
.course-quiz :focus-visible, .course-quiz .course-options label:has(:focus-visible) {{
  outline: 2px solid var(--jp-brand-color1, #1976d2) !important; outline-offset: 2px; }}

.course-quiz .course-options input:focus-visible {{ outline: none !important; }}
.course-quiz :is(input, textarea):disabled {{
  opacity: 1 !important; color: var(--jp-content-font-color1, inherit); }}

/* A note stands in for widgets that are gone, or whose kernel is. */
.course-quiz.jupyter-widgets-disconnected {{ opacity: 0.6; pointer-events: none; }}
.course-quiz.jupyter-widgets-disconnected::before,
.course-quiz .jupyter-widgets-disconnected::before {{ content: none !important; }}
.jp-OutputArea:has(.course-quiz:not(.jupyter-widgets-disconnected)) .course-quiz-note,
.jp-OutputArea-child:has(.course-quiz-note) + .jp-OutputArea-child:not(:has(.course-quiz)) {{
  display: none; }}
"""

_SCRIPT = """
if (!window.courseQuiz) {
  window.courseQuiz = true;
  const quizOf = event => event.target.closest && event.target.closest(".course-quiz");
  window.addEventListener("focusin", event => {
    const quiz = quizOf(event);
    if (!quiz) return;
    // What is to be read next is given the focus; by Tab alone it is passed by.
    quiz.querySelectorAll(".course-label, .course-verdict, .course-progress").forEach(
      text => { text.lastElementChild.tabIndex = -1; });
    quiz.querySelectorAll(".course-group").forEach(group => {
      const radio = group.querySelector("input[type=radio]");
      const label = group.querySelector(".course-label").innerText;
      group.setAttribute("role", radio ? "radiogroup" : "group");
      group.setAttribute("aria-label", label.replace(/\\s+/g, " ").trim());
    });
    // The radios of a group do not know of each other: arrow keys need them to share a name, and
    // Tab one of them to stop at.
    const group = event.target.closest(".widget-radio-box");
    if (!group) return;
    const name = group.dataset.name ||= "course-" + Math.random();
    group.querySelectorAll("input").forEach(radio => {
      radio.name = name;
      radio.tabIndex = radio === event.target ? 0 : -1;
    });
  }, true);
  // JupyterLab takes arrows and letters as commands (D, D deletes the cell): not while one answers.
  window.addEventListener("keydown", event => {
    if (!quizOf(event)) return;
    const plain = !(event.ctrlKey || event.metaKey || event.altKey);
    event.target.toggleAttribute("data-lm-suppress-shortcuts", plain);
  }, true);
}
"""

PAGE = f"<style>{_STYLE}</style><script>{_SCRIPT}</script>"
