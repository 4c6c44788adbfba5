/** Characters that a reader would not see, or that change what is seen around them, made visible. */

/** What cannot be seen, or moves what can: controls, bidi marks, zero widths, fillers, tags, selectors, lone halves. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2800\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;

const NAMES = new Map([
  ["\u0000", "NUL"],
  ["\u0007", "BEL"],
  ["\u0008", "BS"],
  ["\u000d", "CR"],
  ["\u001b", "ESC"],
  ["\u007f", "DEL"],
  ["\u00ad", "SHY"],
  ["\u061c", "ALM"],
  ["\u200b", "ZWSP"],
  ["\u200c", "ZWNJ"],
  ["\u200d", "ZWJ"],
  ["\u200e", "LRM"],
  ["\u200f", "RLM"],
  ["\u202a", "LRE"],
  ["\u202b", "RLE"],
  ["\u202c", "PDF"],
  ["\u202d", "LRO"],
  ["\u202e", "RLO"],
  ["\u2060", "WJ"],
  ["\u2066", "LRI"],
  ["\u2067", "RLI"],
  ["\u2068", "FSI"],
  ["\u2069", "PDI"],
  ["\ufeff", "BOM"],
]);

/** Joiners and selectors that ordinary words and pictures are made of. */
const ORDINARY = /[\u200c\u200d\ufe00-\ufe0f]/u;

/**
 * The name of a hidden character: its short one, else its code point.
 * @param {string} character
 */
export function nameOf(character) {
  const point = character.codePointAt(0);
  return NAMES.get(character) ?? `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

/**
 * The text in pieces: plain ones, and hidden characters by name.
 * @param {string} text
 * @param {{lenient?: boolean}} [options] lenient: joiners and selectors are left in, as prose needs them
 * @returns {{text: string, name?: string}[]} with `name` where the piece is one hidden character
 */
export function pieces(text, { lenient = false } = {}) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (lenient && ORDINARY.test(match[0])) continue;
    if (match.index > from) found.push({ text: text.slice(from, match.index) });
    found.push({ text: match[0], name: nameOf(match[0]) });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from) });
  return found;
}

/** Whether there is anything in the text that is not seen. */
export function hides(text) {
  return pieces(text).some((each) => each.name !== undefined);
}

/**
 * The spaces at both ends, which nobody sees, apart from what is between.
 * @param {string} text
 * @returns {[string, string, string]}
 */
export function ends(text) {
  const before = /^[ \t\u00a0\u2000-\u200a\u3000]*/u.exec(text)[0];
  if (before.length === text.length) return [before, "", ""];
  const after = /[ \t\u00a0\u2000-\u200a\u3000]*$/u.exec(text)[0];
  return [before, text.slice(before.length, text.length - after.length), after];
}
