// A copy of the text in this browser, until the server has it.

import { element, explain, form, kept } from "./desk-page.js";
import { post } from "./desk-server.js";
import { surface } from "./desk-surface.js";

const DRAFT = "plotify draft ";
const DAY = 24 * 3600 * 1000;
const local = kept("localStorage");
const served = element("text").defaultValue;

// After Back and Reload, browsers may fill in an older text.
export const fresh = performance.getEntriesByType("navigation")[0]?.type === "navigate";

// The page's id names the plot that a blank page begins, and the copy of its text. The history keeps it for Back.
const page = element("page");
if (!fresh && history.state?.page) page.value = history.state.page;
history.replaceState({ page: page.value }, "");
const draft = DRAFT + page.value;

// leaves: the text was sent, but the page will not see the answer.
export function keepDraft(before, leaves = false) {
  if (surface.value === before) return;
  const { token, ...typed } = Object.fromEntries(new FormData(form));
  local.set(draft, { typed: { ...typed, text: surface.value }, kept: before, leaves, at: Date.now() });
}

export const forget = (key = draft) => local.forget(key);

// Returns words for this page that never reached the server, and offers those of other pages.
export function recall(keep) {
  let found = null;
  element("found").hidden = true;
  for (const key of local.keys().filter((each) => each.startsWith(DRAFT))) {
    const each = local.get(key);
    if (!each) continue;
    const here = key === draft || (each.typed.plot && each.typed.plot === element("plot").value);
    if (here && each.kept === served && each.typed.text !== served) {
      found = each.typed.text;
      if (key !== draft) forget(key);
    } else if (here ? each.leaves || each.typed.text === served : each.leaves && Date.now() - each.at > DAY) {
      forget(key);
    } else if (!each.leaves) {
      offerBack(key, each.typed, keep);
    }
  }
  return found;
}

function offerBack(key, typed, keep) {
  element("found").hidden = false;
  element("end").textContent = typed.text.trim().split(/\s+/).slice(-12).join(" ").slice(-100);
  element("discard").onclick = () => {
    forget(key);
    recall(keep);
  };
  element("restore").onclick = async () => {
    await keep();
    const answer = await post("", { ...typed, do: "keep", rest: "" });
    if (answer.status !== 200) return explain(answer);
    forget(key);
    location.assign(answer.address);
  };
}
