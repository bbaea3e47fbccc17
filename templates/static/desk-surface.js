// An element with plain text only, mirrored into the form's text area. Where there is none, the script ends here, and the
// page works as it does without JavaScript.

import { $, form } from "./desk-page.js";

const area = $("text"), sheet = $("sheet"), ghost = $("ghost");
if (sheet.contentEditable !== "plaintext-only") {
  form.classList.add("scriptless");
  throw new Error("no plaintext-only");
}

export const splice = (text, at, length, words) => text.slice(0, at) + words + text.slice(at + length);

export const surface = {
  element: sheet,
  value: area.value,
  start: area.value.length,  // of the selection; both are the caret if nothing is selected
  end: area.value.length,
  onedit() {},               // (at, removed, inserted): somebody typed
  onmove() {},

  // Finds what was typed.
  read() {
    const before = this.value, walker = document.createTreeWalker(sheet);
    let after = "", at = 0, tail = 0;
    // A line may be a block, or end with an element; one at the end only has the caret.
    for (let node; (node = walker.nextNode());) after += node.data ?? (node[{ BR: "nextSibling", DIV: "previousSibling" }[node.nodeName]] ? "\n" : "");
    this.locate();
    if (after === before) return;
    const lines = after !== sheet.textContent, most = Math.min(before.length, after.length), last = after.length - (lines ? 0 : this.end);
    while (tail < Math.min(most, last) && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
    while (at < most - tail && before[at] === after[at]) at++;
    this.value = area.value = after;
    if (lines) {
      this.draw();
      this.select(after.length - tail);
    }
    this.onedit(at, before.slice(at, before.length - tail), after.slice(at, after.length - tail));
  },

  draw() {
    area.value = this.value;
    sheet.replaceChildren(this.value);
    if (/^$|\n$/.test(this.value)) sheet.append(document.createElement("br"));
  },

  point(count) {
    let last = [sheet, 0];
    for (const node of sheet.childNodes) {
      if (!node.data) continue;
      if (count <= node.length) return [node, count];
      last = [node, node.length];
      count -= node.length;
    }
    return last;
  },

  locate() {
    const { rangeCount, anchorNode } = getSelection(), { start, end } = this;
    if (!rangeCount || !sheet.contains(anchorNode)) return false;
    const { startContainer, startOffset, endContainer, endOffset } = getSelection().getRangeAt(0);
    const count = (node, offset) => {
      const range = new Range();
      range.selectNodeContents(sheet);
      range.setEnd(node, offset);
      return String(range).length;
    };
    this.start = count(startContainer, startOffset);
    this.end = count(endContainer, endOffset);
    return start !== this.start || end !== this.end;
  },

  // Browsers tell late that the caret has moved, after the next key.
  follow() {
    if (this.locate()) this.onmove();
  },

  select(start, end = start) {
    Object.assign(this, { start, end });
    if (document.activeElement === sheet) getSelection().setBaseAndExtent(...this.point(start), ...this.point(end));
  },

  focus() {
    sheet.focus({ preventScroll: true });
  },

  write(at, length, words) {
    this.value = splice(this.value, at, length, words);
    this.draw();
    this.select(at + words.length);
  },

  // The style sheet draws the words, so they are no part of the text.
  ghost(words) {
    ghost.dataset.words = words || "";
    if (!words) return ghost.remove();
    if (ghost.isConnected) return;
    this.range(this.end, this.end).insertNode(ghost);
    this.select(this.start, this.end);
  },

  range(start, end) {
    const range = new Range();
    range.setStart(...this.point(start));
    range.setEnd(...this.point(end));
    return range;
  },

  show() {
    const { words } = ghost.dataset;
    this.ghost(words || " ");
    ghost.scrollIntoView({ block: "nearest" });
    this.ghost(words);
  },

  paint(authors) {
    const model = new Highlight();
    for (const { 0: { length }, index } of authors.matchAll(/m+/g)) model.add(this.range(index, index + length));
    CSS.highlights.set("model", model);
  },
};

sheet.setAttribute("aria-labelledby", "text-label");
$("text-label").removeAttribute("for");
sheet.addEventListener("input", ({ isComposing }) => { if (!isComposing) surface.read(); });
sheet.addEventListener("compositionend", () => surface.read());
sheet.addEventListener("focus", () => surface.select(surface.start, surface.end));  // a click moves the caret after that
sheet.addEventListener("beforeinput", (event) => {
  // Browsers differ in what they make of a new line, typed or pasted.
  const given = event.data ?? event.dataTransfer?.getData("text/plain") ?? "";
  const words = /Paragraph|LineBreak/.test(event.inputType) ? "\n" : given.replace(/\r\n?/g, "\n");
  if (!words.includes("\n") || event.isComposing) return;
  event.preventDefault();
  surface.locate();
  const { start, end, value } = surface;
  surface.write(start, end - start, words);
  surface.onedit(start, value.slice(start, end), words);
  sheet.dispatchEvent(new Event("input"));
  surface.show();
});
document.addEventListener("selectionchange", () => surface.follow());
const focused = document.activeElement === area;
sheet.hidden = false;
area.hidden = true;
surface.draw();
if (focused) surface.focus();
