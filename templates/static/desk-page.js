// The parts of the page that several modules use.

export const element = (id) => document.getElementById(id);
export const form = element("desk");

// The fields of the form, with other values for some of them.
export const fields = (more) => {
  const all = new URLSearchParams(new FormData(form));
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
};

// For screen readers: each event once, not word by word.
export const tell = (words) => { element("told").textContent = words; };

export function say(words) {
  const notice = element("notice");
  notice.textContent = words;
  notice.hidden = !words;
}

// Shows what is wrong, at the fields at fault.
export function explain({ message = "", problems = {} }) {
  for (const paragraph of form.querySelectorAll(".problem[id]")) {
    const name = paragraph.id.replace("-problem", "");
    paragraph.textContent = problems[name] ?? "";
    paragraph.hidden = !(name in problems);
    const control = element(name);
    if (name in problems) control?.setAttribute("aria-invalid", "true");
    else control?.removeAttribute("aria-invalid");
  }
  const wrong = form.querySelector("[aria-invalid]:not([hidden])");
  if (wrong?.closest("details")) wrong.closest("details").open = true;
  wrong?.focus();
  say(Object.keys(problems).length ? "" : message);
}

// What the browser keeps; nothing where it keeps nothing.
export const kept = (storage) => ({
  get(key) {
    try {
      return JSON.parse(window[storage].getItem(key));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      window[storage].setItem(key, JSON.stringify(value));
      return true;
    } catch {
      return false;  // no room
    }
  },
  forget(key) {
    try {
      window[storage].removeItem(key);
    } catch { /* It kept nothing. */ }
  },
  keys() {
    try {
      return Object.keys(window[storage]);
    } catch {
      return [];
    }
  },
});
