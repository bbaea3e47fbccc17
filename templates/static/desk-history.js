// One stack of what was typed and taken, as a browser's own knows nothing of changes by a script; and the author of each
// character: "w" for the writer, "m" for the model.

import { form } from "./desk-page.js";
import { splice, surface } from "./desk-surface.js";

const ENDS = /[.!?…\n]["”’)]*\s*$/;

export const history = {
  onchange() {},

  // runs: [characters, author], of a text from the server.
  begin(runs) {
    const { length } = surface.value, authors = runs.map(([count, by]) => by[0].repeat(count)).join("");
    this.authors = authors.length === length ? authors : "w".repeat(length);
    this.done = [];
    this.undone = [];
    this.onchange();
  },

  // Notes an edit that is in the text already. Typing joins the edit before it, up to the end of a sentence.
  add(at, removed, inserted, by = "w") {
    const was = this.authors.slice(at, at + removed.length), last = this.done.at(-1);
    const goesOn = last?.by + by === "ww" && !this.undone.length;
    if (goesOn && !removed && at === last.at + last.inserted.length && !ENDS.test(last.inserted)) last.inserted += inserted;
    else if (goesOn && !inserted && !last.inserted && at + removed.length === last.at) Object.assign(last, { at, removed: removed + last.removed, was: was + last.was });
    else this.done.push({ at, removed, inserted, was, by });
    this.undone = [];
    this.authors = splice(this.authors, at, removed.length, by.repeat(inserted.length));
    this.onchange();
  },

  put(at, length, words, by) {
    const removed = surface.value.slice(at, at + length);
    surface.write(at, length, words);
    this.add(at, removed, words, by);
  },

  // way: "undo" or "redo". Returns the edit, if there is one.
  go(way) {
    const back = way === "undo", edit = (back ? this.done : this.undone).pop();
    if (!edit) return;
    const { at, removed, inserted, was, by } = edit, { length } = back ? inserted : removed;
    (back ? this.undone : this.done).push(edit);
    surface.write(at, length, back ? removed : inserted);
    this.authors = splice(this.authors, at, length, back ? was : by.repeat(inserted.length));
    this.onchange();
    return edit;
  },
};

surface.onedit = (...edit) => history.add(...edit);
history.begin(JSON.parse(form.dataset.authors));
