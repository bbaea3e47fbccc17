// Other words: for a word of the model the likeliest in its place, for a selection other ways to say it.

import { element, explain, tell } from "./desk-page.js";
import { history } from "./desk-history.js";
import { took } from "./desk-saving.js";
import { post } from "./desk-server.js";
import { CUT, NOTHING_ELSE, percent } from "./desk-strings.js";
import { ask, present, rest } from "./desk-suggestions.js";
import { surface } from "./desk-surface.js";

const fork = element("fork");
const LETTERS = /[\p{L}\p{N}\p{M}’'-]/u;

// Returns the beginning and end of the model's word at the caret, if it is at one.
export function wordHere() {
  const { value } = surface;
  let { start, end } = surface;
  if (start !== end) return null;
  while (start && LETTERS.test(value[start - 1])) start--;
  while (end < value.length && LETTERS.test(value[end])) end++;
  return end > start && history.by(start) === "model" ? [start, end] : null;
}

export function close() {
  fork.hidden = true;
}

// Shows the other words. focused: the keys go there, too.
export async function showWords(focused) {
  const here = wordHere(), { value } = surface;
  if (!here) return;
  const [start, end] = here;
  const answer = await post("/words", { text: value.slice(0, start), rest: value.slice(end), word: value.slice(start, end) });
  if (answer.status !== 200) return explain(answer);
  if (value !== surface.value || String(wordHere()) !== String(here)) return;
  rest();
  fork.replaceChildren(...answer.words.map(({ word, probability }) => {
    const button = document.createElement("button"), bar = document.createElement("span"), share = document.createElement("span");
    button.type = "button";
    bar.className = "bar";
    bar.style.inlineSize = `${probability * 100}%`;
    share.className = "share";
    share.textContent = percent(probability);
    button.append(word, share, bar);
    if (word === value.slice(start, end)) button.ariaCurrent = "true";
    button.addEventListener("click", () => choose(start, word));
    return button;
  }));
  if (!answer.words.length) return tell(NOTHING_ELSE);
  fork.hidden = false;
  const word = surface.range(start, end).getBoundingClientRect(), form = fork.parentElement.getBoundingClientRect();
  const below = word.bottom + fork.offsetHeight + 8 < innerHeight ? word.bottom + 6 : Math.max(8, word.top - fork.offsetHeight - 6);
  fork.style.insetInlineStart = "auto";
  fork.style.left = `${Math.max(0, Math.min(word.left - form.left - 12, form.width - fork.offsetWidth))}px`;
  fork.style.top = `${below - form.top}px`;
  if (focused) (fork.querySelector(":not([aria-current])") ?? fork.firstChild).focus();
}

// Writes on from another word. What stood from there on stays in the plot's tree.
function choose(at, word) {
  const { value } = surface;
  close();
  surface.focus();
  history.put(at, value.length - at, word, "model");
  took(value.slice(0, at), word, "");
  ask();
  tell(CUT);
}

// Moves between the words. Returns false for other keys.
export function walk(key) {
  const buttons = [...fork.children], at = buttons.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (step) buttons[(at + step + buttons.length) % buttons.length].focus();
  if (key === "Escape") {
    close();
    surface.focus();
  }
  return Boolean(step) || key === "Escape";
}

export async function rewrite() {
  const { start, end, value } = surface;
  const answer = await post("/rewrite", { text: value.slice(0, start), selected: value.slice(start, end), rest: value.slice(end) });
  if (answer.status !== 200) return explain(answer);
  if (value !== surface.value || start !== surface.start || end !== surface.end) return;
  if (!answer.rewritten.length) return tell(NOTHING_ELSE);
  present({ place: "", bare: false, seeds: [], ways: answer.rewritten, settled: true, rewriting: true });
}
