/** What an edit changes: texts word by word, arguments one by one. */

import { Exact, same, write } from "./json.js";

const MOST = 1_500; // words on a side; beyond that only the ends are compared

/**
 * @typedef {{kind: "same"|"removed"|"added", text: string}} Piece
 * @typedef {{name: string, kind: "same"|"changed"|"added"|"removed", pieces: Piece[]}} Change
 */

/**
 * What turns `before` into `after`.
 * @param {string} before
 * @param {string} after
 * @returns {Piece[]}
 */
export function words(before, after) {
  const [one, other] = [split(before), split(after)];
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start++;
  let end = 0;
  while (end < one.length - start && end < other.length - start && one.at(-1 - end) === other.at(-1 - end)) end++;
  const middle = between(one.slice(start, one.length - end), other.slice(start, other.length - end));
  return joined([...kind("same", one.slice(0, start)), ...middle, ...kind("same", end ? one.slice(-end) : [])]);
}

/**
 * The arguments side by side: those of `before` in their order, then what is new.
 * @param {Object} before
 * @param {Object} after
 * @returns {Change[]}
 */
export function changes(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.map((name) => change(name, before, after));
}

/** The value as a reader sees it: a text as it is, anything else as JSON. */
function shown(value) {
  return typeof value === "string" ? value : write(value, 2);
}

function change(name, before, after) {
  if (!Object.hasOwn(after, name))
    return { name, kind: "removed", pieces: [{ kind: "removed", text: shown(before[name]) }] };
  if (!Object.hasOwn(before, name))
    return { name, kind: "added", pieces: [{ kind: "added", text: shown(after[name]) }] };
  const [one, other] = [before[name], after[name]];
  if (same(one, other)) return { name, kind: "same", pieces: [{ kind: "same", text: shown(one) }] };
  return { name, kind: "changed", pieces: isText(one) && isText(other) ? words(one, other) : exactly(one, other) };
}

function isText(value) {
  return typeof value === "string";
}

/** As JSON: `"5"` and `5` must not look alike. Values that are no lists or objects are replaced as a whole. */
function exactly(one, other) {
  const [before, after] = [write(one, 2), write(other, 2)];
  const isWhole = [one, other].some((each) => typeof each !== "object" || each === null || each instanceof Exact);
  return isWhole
    ? [
        { kind: "removed", text: before },
        { kind: "added", text: after },
      ]
    : words(before, after);
}

function split(text) {
  const words = text.match(/\s+|\d+(?:[.,:]\d+)*(?![\p{L}\p{N}_])|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu);
  return words ?? []; // a number, with its point or comma, is one
}

function kind(name, texts) {
  return texts.map((text) => ({ kind: name, text }));
}

/** The longest common subsequence, by the table; beyond its size, all of one for all of the other. */
function between(one, other) {
  if (one.length > MOST || other.length > MOST) return [...kind("removed", one), ...kind("added", other)];
  const width = other.length + 1;
  const table = new Uint16Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = other.length - 1; j >= 0; j--) {
      table[i * width + j] =
        one[i] === other[j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < one.length && j < other.length) {
    if (one[i] === other[j]) (found.push({ kind: "same", text: one[i++] }), j++);
    else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) found.push({ kind: "removed", text: one[i++] });
    else found.push({ kind: "added", text: other[j++] });
  }
  return [...found, ...kind("removed", one.slice(i)), ...kind("added", other.slice(j))];
}

function joined(parts) {
  const found = [];
  for (const part of parts) {
    const last = found.at(-1);
    if (last?.kind === part.kind) last.text += part.text;
    else if (part.text !== "") found.push({ ...part });
  }
  return found;
}
