// The desk without page loads: what the keys and buttons do. Each other module has one concern.

import { count, element, form, stored } from "./desk-page.js";
import { fresh, recall } from "./desk-drafts.js";
import { history } from "./desk-history.js";
import { save, soon, state, steer, travel, unsaved } from "./desk-saving.js";
import { BEGIN, CONTINUE, CONTROL, KEY, OTHERS, REWRITE, length } from "./desk-strings.js";
import * as suggestions from "./desk-suggestions.js";
import { surface } from "./desk-surface.js";
import { cards } from "./desk-tray.js";
import { close, rewrite, showWords, walk, wordHere } from "./desk-words.js";

const PAUSE = 1500;
const sheet = surface.element;
const [pausing, colouring] = [element("pausing"), element("colouring")];
let pause = 0;

const { again, ask, other, rest, shown, step, stop, suggesting, take, takeWord } = suggestions;

// What the buttons do, by their ids.
const actions = {
  continue: () => ask(),
  stop,
  undo: () => back("undo"),
  redo: () => back("redo"),
  others: () => (surface.start === surface.end ? showWords(true) : rewrite()),
  last: () => again(),
  earlier: () => step(-1) || back("undo"),
  later: () => step(1),
  none: rest,
  all: () => take(),
  word: takeWord,
  next: () => other(1),
  again: () => ask(),
};

// The keys that belong to a suggestion while it is shown. One that returns false does not, after all.
const keys = {
  Tab: () => take(),
  ArrowDown: () => other(1),
  ArrowUp: () => other(-1),
  ArrowRight: () => forward("ltr"),
  ArrowLeft: () => forward("rtl"),
  Escape: rest,
};

const forward = (direction) => getComputedStyle(sheet).direction === direction && takeWord();

// Keys with Control, or with Command on a Mac.
const commands = {
  Enter: () => ask(),
  s: () => save(),
  z: (event) => sheet.contains(event.target) && back(event.shiftKey ? "redo" : "undo"),
  y: (event) => sheet.contains(event.target) && back("redo"),
};

function back(way) {
  rest();
  close();
  if (history[way]()) {
    again(true);
    surface.show();
  } else if (way === "undo" ? state.undo : state.redo && !history.done.length) travel(way);
}

function controls() {
  element("undo").disabled = !(history.done.length || state.undo);
  element("redo").disabled = !(history.undone.length || (state.redo && !history.done.length));
  element("stop").disabled = !suggestions.busy();
  element("last").disabled = shown() || !suggestions.any();
  const selected = surface.start !== surface.end, words = count(surface.value);
  element("others").disabled = !selected && !wordHere();
  element("others").textContent = selected ? REWRITE : OTHERS;
  element("ask").textContent = words ? CONTINUE : BEGIN;
  element("count").textContent = words ? length(words, shown()?.set) : "";
}

// The text has changed, by whatever way.
history.onchange = () => {
  surface.paint(colouring.checked ? history.authors : []);
  controls();
  soon();
};
suggesting.onchange = controls;
state.onshow = () => {
  suggestions.remember();  // under the name of the plot, which may be new
  controls();
};
surface.onmove = () => {
  if (shown() && (surface.start !== shown().from || surface.end !== shown().at)) rest();
  close();
  controls();
};

sheet.addEventListener("beforeinput", (event) => {
  if (!event.inputType.startsWith("history")) return;
  event.preventDefault();
  back(event.inputType === "historyUndo" ? "undo" : "redo");
});
sheet.addEventListener("input", () => {
  close();
  rest();
  form.classList.add("writing");
  clearTimeout(pause);
  if (pausing.checked) pause = setTimeout(() => { if (document.activeElement === sheet && !shown()) ask(true); }, PAUSE);
});
sheet.addEventListener("compositionstart", rest);
sheet.addEventListener("click", () => {
  if (surface.locate()) surface.onmove();
  showWords(false);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  actions[event.submitter?.id ?? "continue"]?.();
});
form.addEventListener("click", ({ target }) => {
  const button = target.closest("button[type=button]");
  if (cards.includes(button)) take(cards.indexOf(button));
  else actions[button?.id]?.();
});
// A button takes no focus from the text when it is pressed with a mouse or a finger.
form.addEventListener("mousedown", (event) => {
  if (event.target.closest(".tools button, .tray button, .fork button")) event.preventDefault();
});
form.addEventListener("change", ({ target }) => { if (target.name && target.name !== "text") steer(); });
for (const box of [pausing, colouring]) {
  box.checked = stored(() => JSON.parse(localStorage.getItem(`plotify ${box.id}`))) ?? box.checked;
  box.addEventListener("change", () => {
    stored(() => localStorage.setItem(`plotify ${box.id}`, box.checked));
    history.onchange();
  });
}

addEventListener("keydown", (event) => {
  const { key, shiftKey, altKey, ctrlKey, metaKey } = event, there = document.activeElement === sheet;
  if (event.isComposing || event.keyCode === 229 || event.getModifierState("AltGraph")) return;  // of an IME, or of a letter
  const control = (ctrlKey || metaKey) && !altKey, bare = !(shiftKey || altKey || ctrlKey || metaKey);
  const command = control && commands[key.length > 1 ? key : key.toLowerCase()];
  let done = false;
  if (command) done = command(event) !== false;
  else if (bare && walk(key) !== false) done = true;
  else if (altKey && !ctrlKey && !metaKey && key === "ArrowDown" && there) done = actions.others() !== false;
  else if (bare && shown() && (there || key === "Escape") && keys[key]) done = keys[key]() !== false;
  if (done) event.preventDefault();
  // Any other key is an ordinary key, and the end of the suggestion.
  else if (shown() && there && !["Alt", "Control", "Meta", "Shift"].includes(key)) rest();
});

// What is not the text comes back when somebody looks for it.
addEventListener("pointermove", () => form.classList.remove("writing"));
addEventListener("focusin", ({ target }) => { if (target !== sheet) form.classList.remove("writing"); });

// On phones, what is fixed at the bottom stays above the keyboard.
window.visualViewport?.addEventListener("resize", () => {
  form.style.setProperty("--keyboard", `${Math.max(0, innerHeight - visualViewport.height)}px`);
});

for (const each of form.querySelectorAll(".control")) each.textContent = CONTROL;
for (const each of form.querySelectorAll("[aria-keyshortcuts]")) each.ariaKeyShortcuts = each.ariaKeyShortcuts.replace("Control", KEY);
const served = element("text").defaultValue;
state.kept = fresh ? served : surface.value;
history.begin(history.authors);
const draft = recall(async () => { if (unsaved()) await save(); });
if (draft !== null) {
  state.kept = served;
  history.put(0, surface.value.length, draft, "writer", false);
}
suggestions.recall();
