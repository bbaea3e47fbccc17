// The sheet: an element with plain text only, mirrored into the form's text area. Where there is none, the script ends
// here. It keeps all edits for undo and redo, and the author of each character: "w" for the writer, "m" for the model.

import { $, form } from "./desk-page.js";

const area = $("text"), element = $("sheet"), ghost = $("ghost");
if (element.contentEditable !== "plaintext-only") {
  form.classList.add("scriptless");
  throw new Error("old browser");
}

const ENDS = /[.!?…\n]["”’)]*\s*$/;
const splice = (text, at, length, words) => text.slice(0, at) + words + text.slice(at + length);

export const sheet = {
  element,
  value: area.value,
  start: area.value.length,  // of the selection; both are the caret if nothing is selected
  end: area.value.length,
  onchange() {},  // beside it, onmove and ontake, which other modules set

  // runs: [characters, author], of a text from the server.
  begin(runs) {
    const { length } = this.value;
    this.authors = runs.map(([count, by]) => by[0].repeat(count)).join("").padEnd(length, "w").slice(0, length);
    this.edits = { undo: [], redo: [] };
    this.onchange();
  },

  // Notes an edit that is in the text already. Typing joins the edit before it, up to the space after a sentence.
  // closed: an edit of an earlier page, which it does not join.
  note(at, removed, inserted, by = "w") {
    const { undo, redo } = this.edits, last = undo.at(-1), was = this.authors.slice(at, at + removed.length);
    const goesOn = last?.by + by === "ww" && last !== this.closed && !redo.length;
    if (goesOn && !removed && at === last.at + last.inserted.length && (inserted === " " || !ENDS.test(last.inserted))) last.inserted += inserted;
    else if (goesOn && !inserted && !last.inserted && at + removed.length === last.at) Object.assign(last, { at, removed: removed + last.removed, was: was + last.was });
    else undo.push({ at, removed, inserted, was, by });
    redo.length = 0;
    this.authors = splice(this.authors, at, removed.length, by.repeat(inserted.length));
    this.onchange();
  },

  put(at, length, words, by) {
    const removed = this.value.slice(at, at + length);
    this.write(at, length, words);
    this.note(at, removed, words, by);
    if (by) this.ontake(at, words);
  },

  // way: "undo" or "redo". Returns the edit, if there is one. The other stack gets its reverse.
  go(way) {
    const edit = this.edits[way].pop();
    if (!edit) return;
    const { at, removed, inserted, was, by } = edit, { length } = inserted;
    this.edits[way === "undo" ? "redo" : "undo"].push({ at, removed: inserted, inserted: removed, was: this.authors.slice(at, at + length), by });
    this.write(at, length, removed);
    this.authors = splice(this.authors, at, length, was);
    this.onchange();
    if (way === "redo" && by === "m") this.ontake(at, removed);
    return edit;
  },

  // Finds what was typed.
  read() {
    const before = this.value, walker = document.createTreeWalker(element);
    let after = "", at = 0, tail = 0;
    // A line may be a block, or end with an element; one at the end only has the caret.
    for (let node; (node = walker.nextNode());) after += node.data ?? (node[{ BR: "nextSibling", DIV: "previousSibling" }[node.nodeName]] ? "\n" : "");
    this.locate();
    if (after === before) return;
    const lines = after !== element.textContent, most = Math.min(before.length, after.length), last = after.length - (lines ? 0 : this.end);
    while (tail < Math.min(most, last) && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
    while (at < most - tail && before[at] === after[at]) at++;
    this.value = area.value = after;
    if (lines) {
      this.draw();
      this.select(after.length - tail);
    }
    this.note(at, before.slice(at, before.length - tail), after.slice(at, after.length - tail));
  },

  draw() {
    area.value = this.value;
    element.replaceChildren(this.value);
    if (/^$|\n$/.test(this.value)) element.append(document.createElement("br"));
  },

  point(count) {
    for (const node of element.childNodes) {
      if (count <= node.length) return [node, count];
      count -= node.length ?? 0;
    }
    return [element, 0];
  },

  locate() {
    const selection = getSelection(), { start, end } = this;
    if (!element.contains(selection.anchorNode)) return;
    const selected = selection.getRangeAt(0), before = selected.cloneRange();
    before.setStart(element, 0);
    this.end = String(before).length;
    this.start = this.end - String(selected).length;
    return start !== this.start || end !== this.end;
  },

  // Browsers tell late that the caret has moved, after the next key.
  follow() {
    if (this.locate()) this.onmove();
  },

  select(start, end = start) {
    Object.assign(this, { start, end });
    if (document.activeElement === element) getSelection().setBaseAndExtent(...this.point(start), ...this.point(end));
  },

  focus() {
    element.focus({ preventScroll: true });
  },

  write(at, length, words) {
    this.value = splice(this.value, at, length, words);
    this.draw();
    this.select(at + words.length);
  },

  // The style sheet draws the words, so they are no part of the text. cover: the top of what lies over the page. There
  // it moves only if the beginning would be hidden.
  ghost(words, cover) {
    if (ghost.isConnected && words === ghost.dataset.words) return;
    ghost.dataset.words = words;
    if (!words) {
      ghost.remove();
      return element.normalize();  // an empty node would stay behind, as a line
    }
    if (!ghost.isConnected) {
      this.range(this.end, this.end).insertNode(ghost);
      this.select(this.start, this.end);
    }
    const { top, height } = ghost.getClientRects()[0] ?? {};
    if (!cover) ghost.scrollIntoView({ block: "nearest" });
    else if (top < 0 || top + 3 * height > cover) ghost.scrollIntoView();
  },

  range(start, end) {
    const range = new Range();
    range.setStart(...this.point(start));
    range.setEnd(...this.point(end));
    return range;
  },

  // Scrolls to the caret.
  show() {
    this.ghost(" ");
    this.ghost("");
  },

  paint(authors) {
    const model = new Highlight();
    for (const { 0: { length }, index } of authors.matchAll(/m+/g)) model.add(this.range(index, index + length));
    CSS.highlights.set("model", model);
  },
};

element.setAttribute("aria-labelledby", "text-label");
$("text-label").htmlFor = "";
element.addEventListener("input", ({ isComposing }) => isComposing || sheet.read());
element.addEventListener("compositionend", () => sheet.read());
element.onfocus = () => sheet.select(sheet.start, sheet.end);  // a click moves the caret after that
element.addEventListener("beforeinput", (event) => {
  // Browsers differ in what they make of a new line, typed or pasted.
  const given = event.data ?? event.dataTransfer?.getData("text") ?? "";
  const words = /Paragraph|LineBreak/.test(event.inputType) ? "\n" : given.replace(/\r\n?/g, "\n");
  if (!words.includes("\n") || event.isComposing) return;
  event.preventDefault();
  sheet.locate();
  sheet.put(sheet.start, sheet.end - sheet.start, words);
  element.dispatchEvent(new Event("input"));
  sheet.show();
});
document.onselectionchange = () => sheet.follow();
const focused = [area, document.body].includes(document.activeElement);
element.hidden = false;
area.hidden = true;
area.autocomplete = "off";  // else browsers fill in an older text
sheet.draw();
sheet.begin(JSON.parse(form.dataset.authors));
if (focused) sheet.focus();
