import { $, count, form, says, stored, tell } from "./desk-page.js";
import { save, soon, state, steer, travel, unsaved } from "./desk-saving.js";
import { sheet } from "./desk-sheet.js";
import { AHEAD, again, ask, beside, offered, other, present, reading, rest, shown, stop, take, takeWord } from "./desk-suggestions.js";
import { chosen, close, selected, showOthers } from "./desk-words.js";

const text = sheet.element, pausing = $("pausing"), colouring = $("colouring"), MODIFIERS = ["Control", "Meta", "Alt", "Shift"];
let pause;

// The keys of a suggestion work in the text. On a phone, that would call up a keyboard.
const toText = () => matchMedia("(hover: hover)").matches && sheet.focus();

// To the suggestions before or after these: here, or where the taken words begin or end.
function way(step) {
  const set = beside(step), to = step < 0 ? "undo" : "redo";
  if (set) return () => present(set);
  let text = sheet.value.slice(0, shown()?.at), times = 0;
  for (const { by, at, inserted, removed } of sheet.edits[to].toReversed()) {
    if (by !== "m" || at + inserted.length !== text.length) return;
    text = text.slice(0, at) + removed;
    times++;
    if (offered(text)) return () => back(to, times);
  }
}

const calm = () => form.classList.remove("writing");

const actions = {
  continue() {
    toText();
    ask();
  },
  keep: save,
  stop,
  undo: () => back("undo"),
  redo: () => back("redo"),
  go: () => travel({ do: "go", go: $("go").value }),
  others: showOthers,
  last() {
    toText();
    again();
  },
  earlier: () => way(-1)(),
  later: () => way(1)(),
  none() {
    calm();
    rest();
  },
  all: take,
  word: takeWord,
  next: () => other(1),
  previous: () => other(-1),
};

// First what this page did, then what the server knows.
const possible = (to) => sheet.edits[to].length || (state[to] && (to === "undo" || !sheet.edits.undo.length));

// times: edits; the suggestions there are shown. Else the next Tab would take the same one again.
// The button stays under the finger, though the page's length changes.
async function back(to, times) {
  const top = () => $(to).getBoundingClientRect().top, before = top();
  rest();
  close();
  // Else only this page could redo it, until it goes further back on the server.
  if (to === "undo" && !sheet.edits.redo[0] && unsaved()) sheet.ontake(sheet.end, "");
  for (let n = 1; n < times; n++) sheet.go(to);
  if (sheet.go(to) || (possible(to) && await travel({ do: to }))) {
    sheet.show();
    tell(says(to));
    if (times) again();
    else scrollBy(0, before && top() - before);
  }
}

function controls() {
  const words = count(sheet.value), set = reading();
  $("undo").disabled = $("untake").disabled = !possible("undo");
  $("redo").disabled = !possible("redo");
  $("earlier").disabled = !way(-1);
  $("later").disabled = !way(1);
  $("others").disabled = !chosen();
  $("last").disabled = shown() || !offered();
  form.classList.toggle("selecting", selected());
  const read = set ? says(set.all ? "all" : "read", set.read) + (set.notes ? says("notes") : "") : "";
  $("count").textContent = words ? says(words === 1 ? "one" : "words", words) + read : "";
}

sheet.onchange = () => {
  $("cut").hidden = true;
  sheet.paint(colouring.checked ? sheet.authors : "");
  controls();
  soon();
};
state.onchange = controls;
sheet.onmove = () => {
  if (shown() && (selected() || sheet.end !== shown().at)) rest();
  close();
  controls();
};

text.onbeforeinput = (event) => {
  if (!event.inputType.startsWith("history")) return;
  event.preventDefault();
  back(event.inputType.slice(7).toLowerCase());
};
text.addEventListener("compositionstart", rest);
text.oninput = () => {
  close();
  rest();
  form.classList.add("writing");
  clearTimeout(pause);
  if (pausing.checked) pause = setTimeout(() => text.matches(":focus") && !shown() && ask(AHEAD), 1500);
};
// Beside the text, a click only moves the caret.
text.onclick = ({ x, y }) => {
  sheet.follow();
  const { right, bottom } = sheet.range(...chosen() || []).getBoundingClientRect();
  if (x < right && y < bottom) showOthers(true);
};

// A button that is hidden or disabled by its action would leave the focus nowhere.
form.onclick = async (event) => {
  const button = event.target.closest("button"), had = document.activeElement;
  if (!button) return;
  event.preventDefault();
  button.closest(".cut")?.setAttribute("hidden", "");
  await (actions[button.id] ?? actions[button.value])?.();
  if (had.disabled || !had.checkVisibility()) toText();
};
// A press on a button, or beside one, takes no focus from the text.
form.onmousedown = (event) => {
  if (event.target.matches(".found *, .tools, .tools *, .tray *, .fork *, .page, .paper")) event.preventDefault();
};
form.oninput = ({ target }) => target.name && steer();
for (const box of [pausing, colouring]) {
  const name = `plotify ${box.id}`;
  box.checked = stored(name) ?? box.checked;
  box.onchange = () => {
    stored(name, box.checked);
    sheet.onchange();
  };
}

$("notes")?.setSelectionRange(1e6, 1e6);  // else Tab would lead to before the old notes

// A key presses the button that names it. Any other key ends a suggestion.
onkeydown = (event) => {
  const { key } = event, there = text.matches(":focus");
  if (!key || event.isComposing || event.keyCode === 229 || event.getModifierState("AltGraph")) return;  // of a form that fills itself in, an IME, a letter
  sheet.follow();
  const keys = [...MODIFIERS.filter((each) => event.getModifierState(each)), key[1] ? key : key.toUpperCase()].join("+");
  const button = form.querySelector(`button[aria-keyshortcuts~="${CSS.escape(keys)}"]`);
  if (button && !button.closest("[hidden]") && (there || /Escape|\+Enter|\+S$/.test(keys))) {
    event.preventDefault();
    if (key === "Enter") sheet.focus();
    if (event.repeat && /Tab|Enter/.test(key)) return;  // a key that is held takes one
    (there && selected() && button.id === "continue" ? $("others") : button).click();
  } else if (shown() && there && !MODIFIERS.includes(key)) rest();
};

onpointermove = text.onblur = calm;

// What is fixed at the bottom stays above a phone's keyboard.
visualViewport.onresize = () =>
  form.style.setProperty("--keyboard", `${innerHeight - visualViewport.height * visualViewport.scale}px`);

sheet.onchange();
