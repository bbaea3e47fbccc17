// The tray: all three suggestions, always in view, with a button for each key.

import { element } from "./desk-page.js";
import { heading } from "./desk-strings.js";

const tray = element("tray");
export const cards = [...tray.querySelectorAll(".way")];

// shown: see desk-suggestions.js; null for nothing. at, of: which of the sets for its place it is.
export function drawTray(shown, at, of, writing) {
  tray.hidden = !shown;
  tray.ariaBusy = writing;
  if (!shown) return;
  const { set: { ways, rewriting }, index, given } = shown;
  element("which").textContent = heading(rewriting, at + 1, of);
  cards.forEach((card, number) => {
    card.textContent = ways[number] ?? "";
    card.disabled = !ways[number] || (given && number !== index);
    card.ariaCurrent = number === index;
  });
  element("word").hidden = element("again").hidden = rewriting;
  element("next").disabled = given > 0;
  element("later").disabled = at + 1 >= of;
}
