// Every word that the script of the desk says. The template has the others.

const MAC = /Mac|iP/.test(navigator.platform);

export const [CONTROL, KEY] = MAC ? ["⌘", "Meta"] : ["Ctrl", "Control"];  // as shown, and for screen readers
export const SAVED = "Saved";
export const SAVING = "Saving…";
export const OFFLINE = "Offline";
export const CONTINUE = "Three continuations";
export const BEGIN = "Three first lines";
export const LOST = "The connection to Plotify was lost. Your text is here.";
export const GONE = "The plot is no longer on your shelf, so your text is a new plot.";
export const BROKEN = "The suggestions broke off.";
export const WRITING = "Three suggestions are being written.";
export const NONE = "There are no suggestions.";
export const TAKEN = "It is part of your plot now.";
export const CUT = "The rest of your text is gone from the page. Undo brings it back.";
export const OTHERS = "Other words";
export const REWRITE = "Say it differently";

const number = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;

export const cannot = (status) => `The server cannot answer just now (${status}).`;
export const later = (message, seconds) => `${message} Trying again in ${seconds} s…`;
export const busy = (saved, seconds) => `Plotify is busy. Your text is ${saved ? "saved" : "here"}; trying again in ${seconds} s…`;
export const length = (words, set) => number(words, "word") + (set?.read === undefined ? "" :
  `; the model reads ${set.all ? "all of it" : `the last ${set.read.toLocaleString("en")}`}${set.notes ? " and your notes" : ""}`);
export const arrived = (count) => `${number(count, "suggestion")}. Tab takes the first. The down arrow reads the next one.`;
export const heading = (rewriting, at, of) => (rewriting ? REWRITE : "How it could go on") + (of > 1 ? ` · ${at} of ${of}` : "");
export const percent = (share) => (share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`);
