// Other words: for a word of the model the likeliest in its place, for a selection other ways to say it.

import { element, explain, tell } from "./desk-page.js";
import { history } from "./desk-history.js";
import { took } from "./desk-saving.js";
import { post } from "./desk-server.js";
import { CUT, NONE, percent } from "./desk-strings.js";
import { ask, present, rest } from "./desk-suggestions.js";
import { surface } from "./desk-surface.js";

const fork = element("fork");
const LETTERS = /[\p{L}\p{N}\p{M}’'-]/u;

// Returns the beginning and end of the model's word at the caret, if it is at one.
export function wordHere() {
  let { start, end } = surface;
  const { value } = surface;
  if (start !== end) return null;
  while (LETTERS.test(value[start - 1] ?? "")) start--;
  while (LETTERS.test(value[end] ?? "")) end++;
  return end > start && history.by(start) === "model" ? [start, end] : null;
}

export const close = () => { fork.hidden = true; };

// Asks about a part of the text; returns null if it has changed meanwhile.
async function asked(path, start, end, name) {
  const { value, start: from } = surface;
  const answer = await post(path, { text: value.slice(0, start), [name]: value.slice(start, end), rest: value.slice(end) });
  if (answer.status !== 200) explain(answer);
  return answer.status === 200 && value === surface.value && from === surface.start ? answer : null;
}

function drawn(tag, className, content = "") {
  const part = document.createElement(tag);
  part.className = className;
  part.append(content);
  return part;
}

// Shows the other words. focused: the keys go there, too.
export async function showWords(focused) {
  const [start, end] = wordHere() ?? [];
  const answer = end && await asked("/words", start, end, "word");
  if (!answer) return;
  rest();
  if (!answer.words.length) return tell(NONE);
  fork.replaceChildren(...answer.words.map(({ word, probability }) => {
    const button = drawn("button", "", word), bar = drawn("span", "bar");
    button.type = "button";
    button.ariaCurrent = word === surface.value.slice(start, end);
    button.onclick = () => choose(start, word);
    bar.style.inlineSize = `${probability * 100}%`;
    button.append(drawn("span", "share", percent(probability)), bar);
    return button;
  }));
  fork.hidden = false;
  const box = surface.range(start, end).getBoundingClientRect(), page = fork.parentElement.getBoundingClientRect();
  const above = Math.max(8, box.top - fork.offsetHeight - 6), below = box.bottom + 6;
  fork.style.left = `${Math.max(0, Math.min(box.left - page.left - 12, page.width - fork.offsetWidth))}px`;
  fork.style.top = `${(below + fork.offsetHeight < innerHeight ? below : above) - page.top}px`;
  if (focused) fork.firstChild.focus();
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

// Moves between the words. Returns false for other keys, and if none of the words has the focus.
export function walk(key) {
  const words = [...fork.children], at = words.indexOf(document.activeElement), step = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (fork.hidden || (key !== "Escape" && !(step && at >= 0))) return false;
  if (step) return words[(at + step + words.length) % words.length].focus();
  close();
  surface.focus();
}

export async function rewrite() {
  const answer = await asked("/rewrite", surface.start, surface.end, "selected");
  if (answer?.rewritten.length) present({ ways: answer.rewritten, settled: true, rewriting: true });
  else if (answer) tell(NONE);
}
