import { $, count, form, says, stored } from "./desk-page.js";
import { history } from "./desk-history.js";
import { recall, save, soon, state, steer, travel } from "./desk-saving.js";
import { again, any, ask, beside, busy, cards, other, present, reading, recallSets, remember, rest, shown, stop, suggesting, take, takeWord } from "./desk-suggestions.js";
import { surface } from "./desk-surface.js";
import { chosen, close, selected, showOthers } from "./desk-words.js";

const sheet = surface.element, pausing = $("pausing"), colouring = $("colouring");
let pause;

// The keys of a suggestion work in the text. On a phone, that would call up a keyboard.
function begin() {
  if (matchMedia("(hover: hover)").matches) surface.focus();
  ask();
}

// To the suggestions before or after these: for this place, or where one was taken.
function way(step) {
  const set = beside(step), edit = history[step < 0 ? "done" : "undone"].at(-1);
  if (set) return () => present(set);
  if (edit?.by === "m" && edit.at + edit[step < 0 ? "inserted" : "removed"].length === shown()?.at) return () => back(step < 0 ? "undo" : "redo");
}

const actions = {
  continue: begin,
  again: begin,
  keep: save,
  stop,
  undo: () => back("undo"),
  redo: () => back("redo"),
  others: () => showOthers(),
  last: () => again(),
  earlier: () => way(-1)(),
  later: () => way(1)(),
  none: rest,
  all: () => take(),
  word: takeWord,
  next: () => other(1),
  previous: () => other(-1),
};

async function back(to) {
  rest();
  close();
  if (history.go(to) || ((to === "undo" ? state.undo : state.redo && !history.done.length) && await travel(to))) {
    again(true);
    surface.show();
  }
}

function controls() {
  const { done, undone } = history, words = count(surface.value), off = {
    undo: !(done.length || state.undo),
    redo: !(undone.length || (state.redo && !done.length)),
    stop: !busy(),
    last: shown() || !any(),
    others: !chosen(),
    earlier: !way(-1),
    later: !way(1),
  };
  for (const id in off) $(id).disabled = off[id];
  $("others").firstChild.data = `${selected() ? says("rewrite") : says("others")} `;
  const set = reading(), parts = [words && says(words === 1 ? "one" : "words", words), words && set && says(set.all ? "all" : "read", set.read), set?.notes && says("notes")];
  $("count").textContent = parts.filter(Boolean).join("");
}

history.onchange = () => {
  surface.paint(colouring.checked ? history.authors : "");
  controls();
  soon();
};
suggesting.onchange = controls;
state.onshow = () => {
  remember();  // under the name of the plot, which may be new
  controls();
};
surface.onmove = () => {
  if (shown() && (selected() || surface.end !== shown().at)) rest();
  close();
  controls();
};

sheet.addEventListener("beforeinput", (event) => {
  if (!event.inputType.startsWith("history")) return;
  event.preventDefault();
  back(event.inputType.slice(7).toLowerCase());
});
sheet.addEventListener("input", () => {
  close();
  rest();
  form.classList.add("writing");
  clearTimeout(pause);
  if (pausing.checked) pause = setTimeout(() => { if (document.activeElement === sheet && !shown()) ask(true); }, 1500);
});
sheet.addEventListener("compositionstart", rest);
sheet.addEventListener("click", () => {
  surface.follow();
  showOthers(true);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  actions[event.submitter?.id ?? "continue"]();
});
form.addEventListener("click", ({ target }) => {
  const button = target.closest("button[type=button]");
  if (cards.includes(button)) take(cards.indexOf(button));
  else actions[button?.id]?.();
});
// A pressed button takes no focus from the text.
form.addEventListener("mousedown", (event) => {
  if (event.target.closest(".tools button, .tray button, .fork button")) event.preventDefault();
});
form.addEventListener("change", ({ target }) => { if (target.name && target.name !== "text") steer(); });
for (const box of [pausing, colouring]) {
  const name = `plotify ${box.id}`;
  box.checked = stored(() => JSON.parse(localStorage[name])) ?? box.checked;
  box.addEventListener("change", () => {
    stored(() => { localStorage[name] = box.checked; });
    history.onchange();
  });
}

// A key presses the button that names it. Any other key is an ordinary key, and the end of a suggestion.
addEventListener("keydown", (event) => {
  const { key, keyCode, shiftKey, altKey, ctrlKey, metaKey } = event, there = document.activeElement === sheet;
  if (!key || event.isComposing || keyCode === 229 || event.getModifierState("AltGraph")) return;  // of a form that fills itself in, an IME, a letter
  surface.follow();
  const turned = getComputedStyle(sheet).direction === "rtl" && { ArrowLeft: "ArrowRight", ArrowRight: "ArrowLeft" }[key];
  const keys = (ctrlKey ? "Control+" : "") + (metaKey ? "Meta+" : "") + (altKey ? "Alt+" : "") + (shiftKey ? "Shift+" : "") + (turned || (key[1] ? key : key.toUpperCase()));
  const button = form.querySelector(`button[aria-keyshortcuts~="${CSS.escape(keys)}"]:enabled`);
  if (button && !button.closest("[hidden]") && (there || /Escape|\+Enter|\+S$/.test(keys))) {
    event.preventDefault();
    if (key === "Enter") surface.focus();
    button.click();
  } else if (shown() && there && !["Alt", "Control", "Meta", "Shift"].includes(key)) rest();
});

addEventListener("pointermove", () => form.classList.remove("writing"));
addEventListener("focusin", ({ target }) => { if (target !== sheet) form.classList.remove("writing"); });

// What is fixed at the bottom stays above a phone's keyboard.
window.visualViewport?.addEventListener("resize", () => {
  form.style.setProperty("--keyboard", `${Math.max(0, innerHeight - visualViewport.height)}px`);
});

recall();
recallSets();
history.onchange();
