// The surface that a writer types on: an element with plain text only, mirrored into the form's text area. Where a browser
// has no such element, this script ends here, and the page works as it does without JavaScript.

import { element, form } from "./desk-page.js";

const area = element("text");
const sheet = document.createElement("div");
try {
  sheet.contentEditable = "plaintext-only";
} catch (error) {
  form.classList.add("scriptless");
  throw error;
}

const ghost = document.createElement("span");
ghost.contentEditable = "false";
ghost.className = "ghost";
ghost.ariaHidden = "true";

class Surface {
  value = area.value;
  start = this.value.length;  // of the selection; both are the caret if nothing is selected
  end = this.start;
  onedit = () => {};          // (at, removed, inserted): somebody typed
  onmove = () => {};
  element = sheet;

  constructor() {
    sheet.id = "sheet";
    sheet.className = "text";
    sheet.role = "textbox";
    sheet.ariaMultiLine = "true";
    sheet.translate = false;  // it would be saved as translated
    sheet.dataset.placeholder = area.placeholder;
    for (const name of ["dir", "spellcheck", "aria-describedby", "aria-keyshortcuts"]) sheet.setAttribute(name, area.getAttribute(name));
    sheet.setAttribute("aria-labelledby", "text-label");
    element("text-label").removeAttribute("for");
    sheet.addEventListener("input", (event) => { if (!event.isComposing) this.read(); });
    sheet.addEventListener("compositionend", () => this.read());
    sheet.addEventListener("focus", () => this.select(this.start, this.end));  // a click moves the caret after that
    sheet.addEventListener("beforeinput", (event) => {
      // Browsers differ in what they make of a new line, typed or pasted.
      const given = event.data ?? event.dataTransfer?.getData("text/plain") ?? "";
      const words = ["insertParagraph", "insertLineBreak"].includes(event.inputType) ? "\n" : given.replace(/\r\n?/g, "\n");
      if (!words.includes("\n") || event.isComposing) return;
      event.preventDefault();
      this.locate();
      const { start, end, value } = this;
      this.write(start, end - start, words);
      this.onedit(start, value.slice(start, end), words);
      sheet.dispatchEvent(new Event("input"));
      this.show();
    });
    document.addEventListener("selectionchange", () => { if (this.locate()) this.onmove(); });
    const focused = document.activeElement === area;
    area.after(sheet);
    area.hidden = true;
    this.draw();
    if (focused) this.focus();
  }

  // Text nodes and line breaks with their text. A line break at the end only makes room for the caret. Where a browser
  // puts a line into a block of its own, the block begins a line.
  *leaves() {
    const walker = document.createTreeWalker(sheet, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node instanceof Text) yield [node, node.data];
      else if (node.nodeName === "BR" && node !== node.parentNode.lastChild) yield [node, "\n"];
      else if (node.nodeName === "DIV" && node.previousSibling) yield [node, "\n"];
    }
  }

  // Finds the edit from what the text was to what it is now. It ends at the caret, if several would do.
  read() {
    const before = this.value, after = [...this.leaves()].map(([, part]) => part).join("");
    this.locate();
    if (after === before) return;
    let tail = 0, at = 0;
    const most = Math.min(before.length, after.length);
    while (tail < Math.min(most, after.length - this.end) && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
    while (at < most - tail && before[at] === after[at]) at++;
    this.set(after);
    if (sheet.querySelector("div")) {
      this.draw();
      this.select(this.start, this.end);
    }
    this.onedit(at, before.slice(at, before.length - tail), after.slice(at, after.length - tail));
  }

  set(value) {
    this.value = area.value = value;
    sheet.toggleAttribute("data-vacant", !value);
  }

  draw() {
    this.set(this.value);
    sheet.replaceChildren(this.value, ...(/^$|\n$/.test(this.value) ? [document.createElement("br")] : []));
  }

  // Returns the place in the document behind a number of characters; before: the beginning of a node, not an end.
  point(count, before = false) {
    let last = [sheet, 0];
    for (const [node, part] of this.leaves()) {
      if (node instanceof Text) {
        if (before ? count < part.length : count <= part.length) return [node, count];
        last = [node, part.length];
      }
      count -= part.length;
    }
    return last;
  }

  count(node, offset) {
    const place = document.createRange();
    place.setStart(node, offset);
    let count = 0;
    for (const [leaf, part] of this.leaves()) {
      if (leaf === node) return count + (leaf.nodeName === "DIV" ? 1 : offset);
      if (place.comparePoint(leaf, 0) >= 0) break;
      count += part.length;
    }
    return count;
  }

  // Returns true if the selection is in the text, and has moved.
  locate() {
    const selection = getSelection();
    if (!selection.rangeCount || !sheet.contains(selection.anchorNode)) return false;
    const { startContainer, startOffset, endContainer, endOffset } = selection.getRangeAt(0);
    const start = this.count(startContainer, startOffset), end = this.count(endContainer, endOffset);
    const moved = start !== this.start || end !== this.end;
    Object.assign(this, { start, end });
    return moved;
  }

  select(start, end = start) {
    Object.assign(this, { start, end });
    if (document.activeElement === sheet) getSelection().setBaseAndExtent(...this.point(start), ...this.point(end));
  }

  focus() {
    sheet.focus({ preventScroll: true });
  }

  // Replaces characters, and puts the caret behind the new ones.
  write(at, length, words) {
    this.value = this.value.slice(0, at) + words + this.value.slice(at + length);
    this.draw();
    this.select(at + words.length);
  }

  // Shows words at the caret that are no part of the text: the style sheet draws them.
  ghost(words) {
    if (!words) return ghost.remove();
    ghost.dataset.words = words;
    if (ghost.isConnected) return;
    this.range(this.end, this.end, false).insertNode(ghost);
    this.select(this.start, this.end);
  }

  range(start, end, before = true) {
    const range = document.createRange();
    range.setStart(...this.point(start, before));
    range.setEnd(...this.point(end));
    return range;
  }

  // Brings the caret into view, above what covers the end of the window.
  show() {
    const box = (ghost.isConnected ? ghost : this.range(this.end, this.end, false)).getBoundingClientRect();
    const tray = element("tray"), foot = element("foot").getBoundingClientRect();
    const covered = getComputedStyle(tray).position === "fixed" && !tray.hidden ? tray.getBoundingClientRect().top : foot.top;
    const below = box.bottom - Math.min(covered, innerHeight) + 24;
    if (below > 0) scrollBy(0, below);
    else if (box.height && box.top < 0) scrollBy(0, box.top - 48);
  }

  // Colours the words of the model, without any markup in the text.
  paint(runs) {
    const model = new Highlight();
    let at = 0;
    for (const [length, by] of runs) {
      if (by === "model") model.add(this.range(at, at + length));
      at += length;
    }
    CSS.highlights.set("model", model);
  }
}

export const surface = new Surface();
