export const $ = (id) => document.getElementById(id);
export const form = $("desk");
// Returns words of the page, with values in their places.
export const says = (name, ...values) => form.dataset[name].replace(/{}/g, () => values.shift().toLocaleString("en"));
export const count = (text) => text.split(/\s+/).filter(Boolean).length;

// For screen readers: each event once, not word by word.
export const tell = (words) => { $("told").textContent = words; };

export function say(words) {
  $("notice").textContent = words;
  $("notice").hidden = !words;
}

// Shows what is wrong at its field. only: the others stay as they are.
export function explain({ message = "", problems = {} }, only) {
  let wrong;
  for (const each of form.querySelectorAll(".problem[id]")) {
    const name = each.id.replace("-problem", ""), field = $(name), problem = problems[name];
    if (only && name !== only) continue;
    each.textContent = problem ?? "";
    each.hidden = !problem;
    if (field) field.ariaInvalid = problem ? "true" : null;
    if (problem && !field?.hidden) wrong ??= field;
  }
  if (wrong?.closest("details")) wrong.closest("details").open = true;
  wrong?.focus();
  say(Object.keys(problems).length ? "" : message);
}

// A browser may keep nothing, or have no room.
export function stored(what) {
  try {
    return what();
  } catch {}
}
