// For a word the likeliest others, from which the text goes on; for a selection other ways to say it.

import { $, explain, says, tell } from "./desk-page.js";
import { history } from "./desk-history.js";
import { took } from "./desk-saving.js";
import { post } from "./desk-server.js";
import { ask, rest } from "./desk-suggestions.js";
import { surface } from "./desk-surface.js";

const fork = $("fork"), LETTER = /[\p{L}\p{N}\p{M}’'-]/u;

// Returns the beginning and end of the word at the caret, or of the words that are selected.
export function chosen() {
  let { start, end, value } = surface;
  const letter = (at) => LETTER.test(value[at] ?? "");
  while (letter(start - 1) && (start === end || letter(start))) start--;
  while (letter(end) && (start === end || letter(end - 1))) end++;
  return end > start && [start, end];
}

export const selected = () => surface.start !== surface.end;
export const close = () => fork.hidePopover();

// clicked: only for a word of the model, and the keys stay in the text.
export async function showOthers(clicked) {
  const [start, end] = chosen() || [], { value, start: from } = surface, ways = selected(), button = $("others");
  if (!end || (clicked && (ways || history.authors[start] !== "m"))) return;
  const behind = value.slice(end), standing = value.slice(start, end), text = value.slice(0, start);
  button.ariaBusy = true;
  const answer = await post(ways ? "/rewrite" : "/words", { text, [ways ? "selected" : "word"]: standing, rest: behind });
  button.ariaBusy = false;
  if (answer.status !== 200) return explain(answer);
  if (value !== surface.value || from !== surface.start) return;  // it has changed meanwhile
  rest();
  const list = answer.words ?? answer.rewritten.map((word) => ({ word }));
  if (!list.length) return tell(says("none"));
  fork.ariaLabel = ways ? says("rewrite") : says("others");
  fork.classList.toggle("ways", ways);
  fork.replaceChildren(...list.map(({ word, probability }) => {
    const each = $("likely").content.firstElementChild.cloneNode(true), [share, bar] = each.children;
    each.prepend(word.trim());
    each.ariaCurrent = word === standing;
    each.onclick = () => {
      close();
      surface.focus();
      history.put(start, ways ? end - start : value.length - start, word, "m");
      took(text, word, ways ? behind : "");
      if (!ways) ask();
      tell(ways ? says("taken") : says("cut"));
    };
    if (!ways) {
      share.textContent = probability < 0.01 ? "< 1 %" : `${Math.round(probability * 100)} %`;
      bar.style.inlineSize = `${probability * 100}%`;
    }
    return each;
  }));
  fork.showPopover();
  const { left, top, bottom } = surface.range(start, end).getBoundingClientRect(), below = bottom + 6, { offsetWidth, offsetHeight } = fork;
  fork.style.left = `${Math.max(8, Math.min(left - 12, innerWidth - offsetWidth - 8)) + scrollX}px`;
  fork.style.top = `${(below + offsetHeight < innerHeight ? below : Math.max(8, top - offsetHeight - 6)) + scrollY}px`;
  if (!clicked) fork.firstChild.focus({ preventScroll: true });
}

fork.addEventListener("keydown", (event) => {
  const to = { ArrowDown: "nextSibling", ArrowUp: "previousSibling" }[event.key];
  if (!to) return;
  event.preventDefault();
  document.activeElement[to]?.focus();
});
