// The surface that a writer types on: an element with plain text, mirrored into the form's text area. Where a browser has
// no such element, it is the text area.

import { element } from "./desk-page.js";

const area = element("text");

class Surface {
  value = area.value;
  start = this.value.length;  // of the selection; both are the caret if nothing is selected
  end = this.value.length;
  onedit = () => {};          // (at, removed, inserted): somebody typed
  onmove = () => {};

  constructor() {
    document.addEventListener("selectionchange", () => { if (this.locate()) this.onmove(); });
  }

  set(value) {
    this.value = value;
    if (area.value !== value) area.value = value;
  }

  // Finds the edit from what the text was to what it is now. It ends at the caret, if several would do.
  edited(after) {
    const before = this.value;
    if (after === before) return;
    let tail = 0, at = 0;
    const most = Math.min(before.length, after.length);
    while (tail < most && tail < after.length - this.end && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
    while (at < most - tail && before[at] === after[at]) at++;
    this.set(after);
    this.onedit(at, before.slice(at, before.length - tail), after.slice(at, after.length - tail));
  }

  // Replaces characters, and puts the caret behind the new ones.
  write(at, length, words) {
    this.set(this.value.slice(0, at) + words + this.value.slice(at + length));
    this.draw();
    this.select(at + words.length);
  }
}

class Sheet extends Surface {
  constructor() {
    super();
    const sheet = this.element = document.createElement("div");
    sheet.contentEditable = "plaintext-only";  // throws where a browser has only rich text
    sheet.id = "sheet";
    sheet.className = "text";
    sheet.role = "textbox";
    sheet.translate = false;  // it would be saved as translated
    sheet.dataset.placeholder = area.placeholder;
    for (const name of ["dir", "spellcheck", "aria-describedby", "aria-keyshortcuts"]) sheet.setAttribute(name, area.getAttribute(name));
    sheet.setAttribute("aria-multiline", "true");
    sheet.setAttribute("aria-labelledby", "text-label");
    element("text-label").removeAttribute("for");
    this.shadow = document.createElement("span");
    this.shadow.contentEditable = "false";
    this.shadow.className = "ghost";
    this.shadow.ariaHidden = "true";
    const focused = document.activeElement === area;
    area.after(sheet);
    area.hidden = true;
    this.draw();
    if (focused) this.focus();
    sheet.addEventListener("input", (event) => { if (!event.isComposing) this.read(); });
    sheet.addEventListener("compositionend", () => this.read());
    sheet.addEventListener("beforeinput", (event) => {
      if (!["insertParagraph", "insertLineBreak"].includes(event.inputType)) return;
      event.preventDefault();
      this.locate();
      const { start, end, value } = this;
      this.write(start, end - start, "\n");
      this.onedit(start, value.slice(start, end), "\n");
      sheet.dispatchEvent(new Event("input"));
      this.show();
    });
  }

  // Text nodes and line breaks with their text. A line break at the end only makes room for the caret.
  *leaves() {
    const walker = document.createTreeWalker(this.element, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) yield [node, node.data];
      else if (node.nodeName === "BR" && node !== this.element.lastChild) yield [node, "\n"];
    }
  }

  read() {
    let words = "";
    for (const [, part] of this.leaves()) words += part;
    this.locate();
    this.edited(words);
    this.vacant();
  }

  vacant() {
    this.element.toggleAttribute("data-vacant", !this.value);
  }

  draw() {
    const { value } = this;
    this.element.replaceChildren(new Text(value), ...(!value || value.endsWith("\n") ? [document.createElement("br")] : []));
    this.vacant();
  }

  // Returns the place in the document of a number of characters.
  point(count, after = false) {
    let last = [this.element, 0];
    for (const [node, part] of this.leaves()) {
      if (node.nodeType === Node.TEXT_NODE && (after ? count < part.length : count <= part.length)) return [node, count];
      if (node.nodeType === Node.TEXT_NODE) last = [node, part.length];
      count -= part.length;
    }
    return last;
  }

  count(node, offset) {
    const place = document.createRange();
    place.setStart(node, offset);
    let count = 0;
    for (const [leaf, part] of this.leaves()) {
      if (leaf === node) return count + offset;
      if (place.comparePoint(leaf, 0) >= 0) break;
      count += part.length;
    }
    return count;
  }

  // Returns true if the selection is in the text, and has moved.
  locate() {
    const selection = getSelection();
    if (!selection.rangeCount || !this.element.contains(selection.anchorNode)) return false;
    const range = selection.getRangeAt(0);
    const start = this.count(range.startContainer, range.startOffset);
    const end = range.collapsed ? start : this.count(range.endContainer, range.endOffset);
    const moved = start !== this.start || end !== this.end;
    Object.assign(this, { start, end });
    return moved;
  }

  select(start, end = start) {
    Object.assign(this, { start, end });
    if (document.activeElement === this.element) getSelection().setBaseAndExtent(...this.point(start), ...this.point(end));
  }

  focus() {
    const { start, end } = this;
    this.element.focus({ preventScroll: true });
    this.select(start, end);
  }

  // Shows words at the caret that are no part of the text: they are drawn by the style sheet.
  ghost(words) {
    if (!words) return this.shadow.remove();
    this.shadow.dataset.words = words;
    if (this.shadow.isConnected) return;
    const place = document.createRange();
    place.setStart(...this.point(this.end));
    place.insertNode(this.shadow);
    this.select(this.start, this.end);
  }

  range(start, end) {
    const range = document.createRange();
    range.setStart(...this.point(start, true));
    range.setEnd(...this.point(end));
    return range;
  }

  // Brings the caret into view, above what covers the end of the window.
  show() {
    const box = (this.shadow.isConnected ? this.shadow : this.range(this.end, this.end)).getBoundingClientRect();
    const tray = element("tray"), foot = this.element.closest(".paper").querySelector(".foot").getBoundingClientRect();
    const covered = !tray.hidden && getComputedStyle(tray).position === "fixed" ? tray.getBoundingClientRect().top : foot.top;
    const bottom = Math.min(covered, innerHeight) - 24;
    if (box.bottom > bottom) scrollBy(0, box.bottom - bottom);
    else if (box.height && box.top < 0) scrollBy(0, box.top - 48);
  }

  // Colours the words of the model, without any markup in the text.
  paint(runs) {
    const ranges = [];
    let at = 0;
    for (const [length, by] of runs) {
      if (by === "model" && length) ranges.push(this.range(at, at + length));
      at += length;
    }
    globalThis.CSS?.highlights?.set("model", new Highlight(...ranges));
  }
}

class Area extends Surface {
  element = area;

  constructor() {
    super();
    area.addEventListener("input", () => {
      this.locate();
      this.edited(area.value);
    });
  }

  draw() {}
  ghost() {}
  paint() {}
  show() {}

  range() {
    return area;
  }

  locate() {
    const { selectionStart: start, selectionEnd: end } = area;
    const moved = start !== this.start || end !== this.end;
    if (document.activeElement === area) Object.assign(this, { start, end });
    return moved && document.activeElement === area;
  }

  select(start, end = start) {
    Object.assign(this, { start, end });
    area.setSelectionRange(start, end);
  }

  focus() {
    area.focus({ preventScroll: true });
  }
}

export const surface = (() => {
  try {
    return new Sheet();
  } catch {
    return new Area();
  }
})();
