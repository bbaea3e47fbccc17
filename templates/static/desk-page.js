// The parts of the page that several modules use.

export const element = (id) => document.getElementById(id);
export const form = element("desk");

// For screen readers: each event once, not word by word.
export const tell = (words) => { element("told").textContent = words; };

export function say(words) {
  element("notice").textContent = words;
  element("notice").hidden = !words;
}

// Shows what is wrong, at the fields at fault. only: the field to speak of; what is shown at the others stays.
export function explain({ message = "", problems = {} }, only = "") {
  for (const paragraph of form.querySelectorAll(".problem[id]")) {
    const name = paragraph.id.replace("-problem", "");
    if (only && name !== only) continue;
    paragraph.textContent = problems[name] ?? "";
    paragraph.hidden = !(name in problems);
    if (element(name)) element(name).ariaInvalid = name in problems ? "true" : null;
  }
  const wrong = Object.keys(problems).length ? form.querySelector("[aria-invalid]:not([hidden])") : null;
  if (wrong?.closest("details")) wrong.closest("details").open = true;
  wrong?.focus();
  say(Object.keys(problems).length ? "" : message);
}

// Does something with what the browser keeps; returns null where it keeps nothing, or has no room.
export function stored(what) {
  try {
    return what();
  } catch {
    return null;
  }
}

export const count = (text) => text.split(/\s+/).filter(Boolean).length;
