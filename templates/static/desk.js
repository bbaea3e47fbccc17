// The desk without page loads: what the keys and buttons do. Each other module has one concern.

import { form, element, explain, kept, say } from "./desk-page.js";
import { fresh, recall as recallDraft } from "./desk-drafts.js";
import { history } from "./desk-history.js";
import { save, soon, state, steer, travel, unsaved } from "./desk-saving.js";
import { BEGIN, CONTINUE, CONTROL, OTHERS, REWRITE, words } from "./desk-strings.js";
import * as suggestions from "./desk-suggestions.js";
import { surface } from "./desk-surface.js";
import { tray } from "./desk-tray.js";
import { close, rewrite, showWords, walk, wordHere } from "./desk-words.js";

const PAUSE = 1500;
const local = kept("localStorage");
const [pausing, colouring] = [element("pausing"), element("colouring")];
let pause = 0;

// What the buttons do. The same names are their ids.
const actions = {
  continue: () => suggestions.ask(),
  stop: () => suggestions.stop(),
  undo: () => back("undo"),
  redo: () => back("redo"),
  keep: () => save(),
  others: () => (surface.start === surface.end ? showWords(true) : rewrite()),
  last: () => suggestions.again(),
  earlier: () => suggestions.step(-1) || back("undo"),
  later: () => suggestions.step(1),
  none: () => suggestions.rest(),
  all: () => suggestions.take(),
  word: () => suggestions.takeWord(),
  next: () => suggestions.other(1),
  again: () => suggestions.ask(),
};

// The keys that belong to a suggestion while it is shown. They return false if they do not, after all.
const keys = {
  Tab: () => suggestions.take(),
  ArrowRight: () => suggestions.takeWord(),
  ArrowDown: () => suggestions.other(1),
  ArrowUp: () => suggestions.other(-1),
  Escape: () => suggestions.rest(),
};

function back(way) {
  suggestions.rest();
  close();
  if (history[way]()) {
    if (suggestions.memory.at(surface.value.slice(0, surface.end)).length) suggestions.again();
    surface.show();
  } else if (state[way] && !(way === "redo" && history.done.length)) {
    travel(way);
  }
}

function buttons() {
  element("undo").disabled = !(history.done.length || state.undo);
  element("redo").disabled = !(history.undone.length || (state.redo && !history.done.length));
  element("stop").disabled = !suggestions.busy();
  element("last").disabled = Boolean(suggestions.shown()) || !suggestions.memory.sets.length;
  const selected = surface.start !== surface.end;
  element("others").disabled = !selected && !wordHere();
  element("others").textContent = selected ? REWRITE : OTHERS;
  const count = surface.value.split(/\s+/).filter(Boolean).length;
  element("count").textContent = count ? words(count) + suggestions.reading : "";
}

// The text has changed, by whatever way.
function changed() {
  const { value } = surface;
  surface.paint(colouring.checked ? history.authors : []);
  element("ask").textContent = value.trim() ? CONTINUE : BEGIN;
  buttons();
  soon();
}

function typed() {
  close();
  suggestions.rest();
  form.classList.add("writing");
  clearTimeout(pause);
  if (pausing.checked) pause = setTimeout(() => {
    if (document.activeElement === surface.element && !suggestions.shown()) suggestions.ask(true);
  }, PAUSE);
}

history.onchange = changed;
state.onshow = () => {
  suggestions.memory.keep();  // the plot has a name now
  buttons();
};
suggestions.watch(buttons);
tray.watch((number) => suggestions.take(number));

surface.element.addEventListener("beforeinput", (event) => {
  if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
    event.preventDefault();
    back(event.inputType === "historyUndo" ? "undo" : "redo");
  }
});
surface.element.addEventListener("input", typed);
surface.element.addEventListener("compositionstart", () => suggestions.rest());
surface.element.addEventListener("click", () => { if (wordHere()) showWords(false); });
surface.onmove = () => {
  const shown = suggestions.shown();
  if (shown && (surface.start !== shown.from || surface.end !== shown.at)) suggestions.rest();
  close();
  buttons();
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  actions[event.submitter?.id ?? "continue"]?.();
});
form.addEventListener("click", ({ target }) => {
  const button = target.closest("button[type=button]");
  if (button) actions[button.id]?.();
});
// A button takes no focus from the text when it is pressed with a mouse or a finger.
form.addEventListener("mousedown", (event) => {
  if (event.target.closest(".tools button, .tray button, .fork button")) event.preventDefault();
});
form.addEventListener("change", ({ target }) => {
  if (target.name && target.form === form && target.name !== "text") steer();
});
for (const box of [pausing, colouring]) {
  box.checked = local.get(`plotify ${box.id}`) ?? box.checked;
  box.addEventListener("change", () => {
    local.set(`plotify ${box.id}`, box.checked);
    changed();
  });
}

addEventListener("keydown", (event) => {
  const { key, shiftKey, altKey } = event;
  if (event.isComposing || event.keyCode === 229) return;  // the keys of an IME
  const control = (event.ctrlKey || event.metaKey) && !altKey && !event.getModifierState("AltGraph");
  const bare = !control && !shiftKey && !altKey && !event.ctrlKey && !event.metaKey;
  const there = document.activeElement === surface.element;
  let done = true;
  if (!element("fork").hidden && bare && element("fork").contains(document.activeElement)) done = walk(key);
  else if (control && key === "Enter") suggestions.ask();
  else if (control && key.toLowerCase() === "z" && there) back(shiftKey ? "redo" : "undo");
  else if (control && key.toLowerCase() === "y" && there) back("redo");
  else if (control && key.toLowerCase() === "s") save();
  else if (altKey && !control && key === "ArrowDown" && there) actions.others();
  else if (bare && key === "Escape" && !element("fork").hidden) close();
  else if (suggestions.shown() && there && bare && keys[key]) done = keys[key]() !== false;
  else if (suggestions.shown() && key === "Escape") suggestions.rest();
  else {
    done = false;
    // Any other key is an ordinary key, and the end of the suggestion.
    if (suggestions.shown() && there && !["Alt", "AltGraph", "Control", "Meta", "Shift"].includes(key)) suggestions.rest();
  }
  if (done) event.preventDefault();
});
for (const event of ["pointermove", "focusin"]) {
  addEventListener(event, ({ target }) => {
    if (event === "pointermove" || target !== surface.element) form.classList.remove("writing");
  });
}
// On phones, what is fixed at the bottom stays above the keyboard.
window.visualViewport?.addEventListener("resize", () => {
  document.documentElement.style.setProperty("--keyboard", `${Math.max(0, innerHeight - visualViewport.height)}px`);
});

for (const each of form.querySelectorAll(".control")) each.textContent = CONTROL;
const served = element("text").defaultValue;
state.kept = fresh ? served : surface.value;
history.begin(history.authors);
const draft = recallDraft(async () => { if (unsaved()) await save(); });
if (draft !== null) {
  state.kept = served;
  history.put(0, surface.value.length, draft, "writer", false);
}
suggestions.recall();
soon();
