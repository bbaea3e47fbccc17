export const $ = (id) => document.getElementById(id);
export const form = $("desk");
// Returns words of the page, with values in their places.
export const says = (name, ...values) => form.dataset[name].replace(/{}/g, () => values.shift().toLocaleString("en"));
export const count = (text) => (text.match(/\S+/g) ?? []).length;

// For screen readers: each event once, not word by word.
export const tell = (words) => $("told").textContent = words;
export const say = (words) => $("notice").textContent = words;

// Shows what is wrong at its field. which: a selector; other problems stay.
export function explain({ message, problems = {} }, which = "") {
  for (const each of [...form.querySelectorAll(`.problem[id]${which}`)].reverse()) {
    const name = each.id.replace("-problem", ""), field = $(name), wrong = name in problems;
    each.textContent = problems[name];
    if (field) field.ariaInvalid = wrong || null;
    if (!wrong) continue;
    each.closest("details")?.setAttribute("open", "");
    field?.focus();
  }
  say(message);
}

// Returns what the browser keeps under a name; without one, all names. value: to keep; null: nothing. tab: for this tab.
export function stored(name, value, tab) {
  try {
    const all = tab ? sessionStorage : localStorage;
    if (!name) return Object.keys(all);
    if (value === undefined) return JSON.parse(all[name]);
    if (value === null) all.removeItem(name);
    else all[name] = JSON.stringify(value);
  } catch {}  // it may keep nothing, or have no room
}
