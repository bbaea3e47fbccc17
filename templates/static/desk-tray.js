// The tray: all three suggestions, always in view, with a button for each key.

import { element } from "./desk-page.js";
import { place } from "./desk-strings.js";

const cards = [...element("ways").querySelectorAll(".way")];
const set = (control, words) => { if (control.textContent !== words) control.textContent = words; };

class Tray {
  // shown: see desk-suggestions.js, null for nothing. at, of: which of the sets for this place it is.
  draw(shown, at, of, writing) {
    element("tray").hidden = !shown;
    element("tray").ariaBusy = writing;
    if (!shown) return;
    const { set: { ways, rewriting }, index, given } = shown;
    set(element("which"), place(rewriting, at + 1, of));
    cards.forEach((card, number) => {
      set(card, ways[number] ?? "");
      card.disabled = !ways[number] || (given && number !== index);
      card.setAttribute("aria-current", number === index);
    });
    element("word").hidden = rewriting;
    element("next").disabled = Boolean(given);
    element("later").disabled = at + 1 >= of;
  }

  // taken: called with the number of a card that was pressed.
  watch(taken) {
    cards.forEach((card, number) => card.addEventListener("click", () => taken(number)));
  }
}

export const tray = new Tray();
