// A copy of the text in this browser, until the server has it.

import { element, explain, form, stored } from "./desk-page.js";
import { post } from "./desk-server.js";
import { surface } from "./desk-surface.js";

const DRAFT = "plotify draft ";
const DAY = 24 * 3600 * 1000;
const served = element("text").defaultValue;
const plot = element("plot");
const page = element("page");

// After Back and Reload, browsers may fill in an older text.
export const fresh = performance.getEntriesByType("navigation")[0]?.type === "navigate";

// The page's id names the plot that a blank page begins, and the copy of its text. The history keeps it for Back.
if (!fresh && history.state?.page) page.value = history.state.page;
history.replaceState({ page: page.value }, "");
const draft = DRAFT + page.value;

// leaves: the text was sent, but the page will not see the answer.
export function keepDraft(kept, leaves = false) {
  if (surface.value === kept) return;
  const { token, ...typed } = Object.fromEntries(new FormData(form));
  stored(() => localStorage.setItem(draft, JSON.stringify({ typed, kept, leaves, at: Date.now() })));
}

export const forget = (key = draft) => stored(() => localStorage.removeItem(key));

// Returns words for this page that never reached the server, and offers those of other pages.
export function recall(save) {
  let found = null;
  element("found").hidden = true;
  for (const key of stored(() => Object.keys(localStorage)) ?? []) {
    const each = key.startsWith(DRAFT) && stored(() => JSON.parse(localStorage.getItem(key)));
    if (!each) continue;
    const { typed, kept, leaves, at } = each, here = key === draft || (typed.plot && typed.plot === plot.value);
    if (here && kept === served && typed.text !== served) {
      found = typed.text;
      if (key !== draft) forget(key);
    } else if (here ? leaves || typed.text === served : leaves && Date.now() - at > DAY) {
      forget(key);
    } else if (!leaves) {
      offer(key, typed, save);
    }
  }
  return found;
}

function offer(key, typed, save) {
  element("found").hidden = false;
  element("end").textContent = typed.text.trim().split(/\s+/).slice(-12).join(" ").slice(-100);
  element("discard").onclick = () => {
    forget(key);
    recall(save);
  };
  element("restore").onclick = async () => {
    await save();
    const answer = await post("", { ...typed, do: "keep" });
    if (answer.status !== 200) return explain(answer);
    forget(key);
    location.assign(answer.address);
  };
}
