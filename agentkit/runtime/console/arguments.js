/** Values as a person reads them: one argument a row, nothing hidden, nothing run. */

import { ends, pieces } from "./characters.js";
import { h } from "./dom.js";
import { Exact, isObject, write } from "./json.js";

const LONG_CHARS = 700;
const LONG_LINES = 12;
const MOST_ROWS = 40;
const DEEPEST = 3; // further in, JSON reads better than boxes in boxes
const MOST_COLUMNS = 6;
/** Texts that are no numbers and the like, but look so. */
const LOOKS_LIKE_DATA = /^(?:|true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[[{"].*)$/s;

/**
 * A text with everything in it that one would not see.
 * @param {string} text
 * @param {{lenient?: boolean}} [options] lenient: as prose needs it
 * @returns {(Node|string)[]}
 */
export function readable(text, options) {
  return pieces(text, options).map((each) => (each.name === undefined ? each.text : hiddenMark(each)));
}

/**
 * The arguments of a call, a row each.
 * @param {Object} args
 * @param {{testid?: string}} [options] `testid`: what the rows' test ids begin with
 */
export function rows(args, { testid } = {}) {
  const names = Object.keys(args);
  if (names.length === 0) return h("p", { class: "muted", text: "No arguments." });
  return h("dl", { class: "arguments" }, ...names.map((name) => row(name, args[name], testid)));
}

/** One value. */
export function value(given, depth = 0) {
  if (typeof given === "string") return text(given);
  if (given === null || typeof given !== "object" || given instanceof Exact)
    return h("span", { class: "literal", text: String(given) });
  if (depth >= DEEPEST) return h("pre", { class: "json" }, ...readable(write(given, 2)));
  return Array.isArray(given) ? list(given, depth) : nested(given, depth);
}

/** The value on one line, for where there is little room. */
export function brief(given, most = 140) {
  const line = typeof given === "string" ? given : write(given);
  return readable(line.length > most ? `${line.slice(0, most)}\u2026` : line);
}

function row(name, given, testid) {
  return h(
    "div",
    { class: "argument", testid: testid ? `${testid}${name}` : null },
    h("dt", {}, ...readable(name)),
    h("dd", {}, value(given)),
  );
}

function hiddenMark({ text, name }) {
  const point = `U+${text.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const told = `hidden character ${point}`;
  return h("span", { class: "hidden-character", title: told, "aria-label": `${told} ${name}` }, name);
}

function text(given) {
  if (given === "") return h("span", { class: "muted", text: "(empty text)" });
  const [before, middle, after] = ends(given);
  const said = [gap(before), ...readable(middle), gap(after)];
  const isQuoted = LOOKS_LIKE_DATA.test(given);
  const shown = h(
    "span",
    { class: "text" },
    isQuoted && h("span", { class: "quote", text: "\u201c" }),
    ...said,
    isQuoted && h("span", { class: "quote", text: "\u201d" }),
  );
  return isLong(given) ? folded(shown, `${given.length.toLocaleString()} characters`) : shown;
}

/** Spaces at an end, seen. */
function gap(spaces) {
  if (spaces === "") return null;
  const told = `${spaces.length} blank${spaces.length === 1 ? "" : "s"} at the end of the text`;
  return h("span", { class: "gap", title: told, "aria-label": told }, "\u00b7".repeat(Math.min(spaces.length, 20)));
}

function isLong(given) {
  return given.length > LONG_CHARS || given.split("\n", LONG_LINES + 1).length > LONG_LINES;
}

/** What is long, cut in height, with a button that shows all of it. */
export function folded(shown, size) {
  const box = h("div", { class: "fold is-folded" }, shown);
  const button = h("button", { type: "button", class: "quiet", "aria-expanded": "false", text: `Show all (${size})` });
  button.addEventListener("click", () => {
    const isFolded = box.classList.toggle("is-folded");
    button.textContent = isFolded ? `Show all (${size})` : "Show less";
    button.setAttribute("aria-expanded", String(!isFolded));
  });
  return h("div", {}, box, button);
}

function nested(given, depth) {
  const names = Object.keys(given);
  if (names.length === 0) return h("span", { class: "muted", text: "{ } (empty)" });
  const all = names.map((name) =>
    h("div", { class: "argument" }, h("dt", {}, ...readable(name)), h("dd", {}, value(given[name], depth + 1))),
  );
  return some(h("dl", { class: "arguments nested" }), all);
}

function list(given, depth) {
  if (given.length === 0) return h("span", { class: "muted", text: "[ ] (empty list)" });
  const isPlain = given.every((each) => typeof each === "number" || typeof each === "boolean");
  if (isPlain && given.length <= MOST_ROWS) return h("span", { class: "literal", text: given.join(", ") });
  const columns = columnsOf(given);
  if (columns) return table(given, columns);
  return some(
    h("ol", { class: "values" }),
    given.map((each) => h("li", {}, value(each, depth + 1))),
  );
}

/** The members of objects that are alike and flat; null: they are not. */
function columnsOf(given) {
  if (given.length < 2 || !given.every(isObject)) return null;
  const names = [...new Set(given.flatMap((each) => Object.keys(each)))];
  const isFlat = (each) => each === null || typeof each !== "object" || each instanceof Exact;
  const isShort = (each) => typeof each !== "string" || (each.length <= 120 && !each.includes("\n"));
  const isAlike = given.every((each) => Object.values(each).every((member) => isFlat(member) && isShort(member)));
  return isAlike && names.length > 0 && names.length <= MOST_COLUMNS ? names : null;
}

function table(given, columns) {
  const cell = (each, name) => h("td", {}, Object.hasOwn(each, name) ? value(each[name]) : "");
  const lines = given.map((each) => h("tr", {}, ...columns.map((name) => cell(each, name))));
  const head = h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, ...readable(name)))));
  const body = h("tbody", {});
  return h("div", { class: "wide values-table" }, h("table", {}, head, body), some(body, lines, { isInside: true }));
}

/** The first rows; a button brings the others. `isInside`: the parent has its place already, only the button comes. */
function some(parent, all, { isInside = false } = {}) {
  parent.append(...all.slice(0, MOST_ROWS));
  const rest = all.slice(MOST_ROWS);
  if (rest.length === 0) return isInside ? null : parent;
  const button = h("button", { type: "button", class: "quiet", text: `Show ${rest.length} more` });
  button.addEventListener("click", () => {
    parent.append(...rest);
    button.remove();
  });
  return isInside ? button : h("div", {}, parent, button);
}

/** Whether this is what `rows` takes. */
export const areArguments = isObject;
