// What was done to the text, for undo and redo, and the author of each part of it. Typing and taking are on one stack: a
// browser's own knows nothing of changes by a script.

import { form } from "./desk-page.js";
import { surface } from "./desk-surface.js";

const ENDS = /[.!?…\n]["”’)]*\s*$/;

// Authors are runs, [[characters, "writer" or "model"], …], that add up to the text.
function cut(runs, from, to) {
  let at = 0;
  return runs.flatMap(([length, by]) => {
    const part = Math.min(at + length, to) - Math.max(at, from);
    at += length;
    return part > 0 ? [[part, by]] : [];
  });
}

function joined(runs) {
  const all = [];
  for (const [length, by] of runs) {
    if (all.at(-1)?.[1] === by) all.at(-1)[0] += length;
    else if (length) all.push([length, by]);
  }
  return all;
}

class History {
  done = [];
  undone = [];
  onchange = () => {};

  // Forgets what was done: the text came from the server.
  begin(authors) {
    const whole = authors.reduce((total, [length]) => total + length, 0) === surface.value.length;
    this.authors = whole ? authors : [[surface.value.length, "writer"]];
    this.done = [];
    this.undone = [];
    this.onchange();
  }

  // Notes an edit that is in the text already.
  add(at, removed, inserted, by = "writer", taken = false) {
    const before = this.authors, last = this.undone.length || taken || this.done.at(-1)?.taken ? null : this.done.at(-1);
    this.authors = joined([...cut(before, 0, at), [inserted.length, by], ...cut(before, at + removed.length, Infinity)]);
    if (last && !removed && at === last.at + last.inserted.length && !ENDS.test(last.inserted)) last.inserted += inserted;
    else if (last && !inserted && !last.inserted && at + removed.length === last.at) Object.assign(last, { at, removed: removed + last.removed });
    else this.done.push({ at, removed, inserted, before, taken });
    this.done.at(-1).after = this.authors;
    this.undone = [];
    this.onchange();
  }

  // Changes the text.
  put(at, length, words, by, taken = true) {
    const removed = surface.value.slice(at, at + length);
    surface.write(at, length, words);
    this.add(at, removed, words, by, taken);
  }

  // Returns false if there is nothing to undo here.
  undo() {
    const edit = this.done.pop();
    if (!edit) return false;
    this.undone.push(edit);
    return this.go(edit.at, edit.inserted.length, edit.removed, edit.before);
  }

  redo() {
    const edit = this.undone.pop();
    if (!edit) return false;
    this.done.push(edit);
    return this.go(edit.at, edit.removed.length, edit.inserted, edit.after);
  }

  go(at, length, words, authors) {
    surface.write(at, length, words);
    this.authors = authors;
    this.onchange();
    return true;
  }

  // Returns the author of the character at a place.
  by(at) {
    return cut(this.authors, at, at + 1)[0]?.[1];
  }
}

export const history = new History();
surface.onedit = (...edit) => history.add(...edit);
history.authors = JSON.parse(form.dataset.authors);
