// For a word the likeliest others, for a selection other versions.

import { $, explain, says, tell } from "./desk-page.js";
import { post } from "./desk-server.js";
import { sheet } from "./desk-sheet.js";
import { ask, rest } from "./desk-suggestions.js";

const fork = $("fork"), LETTER = /[\p{L}\p{N}\p{M}’'-]/u;

// Returns the beginning and end of the word at the caret or before it, or of the selected words.
export function chosen() {
  let { start, end, value } = sheet;
  const letter = (at) => LETTER.test(value[at] ?? "");
  while (start && start === end && !letter(start) && !letter(start - 1)) start = --end;
  while (letter(start - 1) && (start === end || letter(start))) start--;
  while (letter(end) && (start === end || letter(end - 1))) end++;
  return end > start && [start, end];
}

export const selected = () => sheet.start < sheet.end;
export const close = () => fork.hidePopover();

// clicked: only for a word of the model, and the keys stay in the text.
export async function showOthers(clicked) {
  const [start, end] = chosen() || [], { value, start: from } = sheet, ways = selected(), button = $("others");
  if (!end || (clicked && (ways || sheet.authors[start] !== "m"))) return;
  const standing = value.slice(start, end), branches = !ways && ![...sheet.authors].some((by, at) => at >= end && by === "w" && value[at].trim());
  button.ariaBusy = true;
  const answer = await post(ways ? "/rewrite" : "/words", { text: value.slice(0, start), selected: standing, rest: value.slice(end) });
  button.ariaBusy = false;
  if (answer.status !== 200) return explain(answer);
  if (value !== sheet.value || from !== sheet.start) return;  // it has changed meanwhile
  rest();
  if (!answer.others[0]) return tell(says("none"));
  fork.classList.toggle("ways", ways);
  fork.replaceChildren(...answer.others.map(({ word, probability }) => {
    const each = $("likely").content.firstElementChild.cloneNode(true), [share, bar] = each.children;
    each.prepend(word.trim());
    each.ariaCurrent = word === standing;
    each.onclick = () => {
      close();
      sheet.focus();
      sheet.put(start, (branches ? value.length : end) - start, word, "m");
      if (branches) ask();
      $("cut").hidden = !branches || !value.slice(end).trim();
      tell(says("taken"));
    };
    if (!ways) {
      share.textContent = probability < .01 ? "< 1%" : `${Math.round(probability * 100)}%`;
      bar.style.inlineSize = `${probability * 100}%`;
    }
    return each;
  }));
  fork.showPopover();
  CSS.highlights.set("meant", new Highlight(sheet.range(start, end)));
  const { left, top, bottom } = sheet.range(start, end).getBoundingClientRect(), below = bottom + 6, { offsetHeight } = fork;
  fork.style.setProperty("--left", `${left - 12}px`);
  fork.style.top = `${(below + offsetHeight < innerHeight ? below : Math.max(8, top - offsetHeight - 6)) + scrollY}px`;
  if (!clicked) fork.firstChild.focus({ preventScroll: true });
}

fork.onbeforetoggle = () => { CSS.highlights.delete("meant"); };  // false cancels it
fork.onkeydown = (event) => {
  const to = { ArrowDown: "nextSibling", ArrowUp: "previousSibling" }[event.key];
  if (to) {
    event.preventDefault();
    document.activeElement[to]?.focus();
  } else if (/^\S$/.test(event.key)) sheet.focus();  // a letter goes there
};
