/** The little Markdown that models write, as elements: headings, lists, code, emphasis. No HTML, no images. */

import { readable } from "./arguments.js";
import { h, outside } from "./dom.js";

const PROSE = { lenient: true };
const LONGEST = 5_000; // characters of a paragraph whose emphasis is looked for: hostile ones take quadratic time
const INLINE =
  /(`+)([^`]|[^`].*?[^`])\1(?!`)|\*\*(\S(?:.*?\S)?)\*\*|(?<![\w*])\*(\S(?:.*?\S)?)\*(?![\w*])|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/su;
const ITEM = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/su;
const BEGUN = /^\s*(?:[-*+]|\d{1,9}[.)]?)\s*$/; // an item of which no more is written yet

/**
 * The text in blocks, each of which can be drawn alone.
 * @param {string} text
 * @returns {{kind: "code"|"heading"|"list"|"rule"|"text", text: string, info?: string}[]}
 */
export function blocks(text) {
  const found = [];
  let open = null;
  const close = () => (open && found.push({ ...open, text: open.lines.join("\n") }), (open = null));
  const grow = (kind, line) =>
    open?.kind === kind ? open.lines.push(line) : (close(), (open = { kind, lines: [line] }));
  for (const line of text.split("\n")) {
    const fence = /^\s{0,3}(`{3,}|~{3,})\s*([^`]*)$/.exec(line);
    if (open?.kind === "code") {
      if (fence && fence[1].startsWith(open.fence) && fence[2] === "") close();
      else open.lines.push(line);
    } else if (fence) {
      close();
      open = { kind: "code", lines: [], fence: fence[1], info: fence[2].trim() };
    } else if (line.trim() === "") close();
    else if (/^#{1,6}\s+\S/.test(line)) (close(), found.push({ kind: "heading", text: line.replace(/^#+\s+/, "") }));
    else if (/^\s{0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) (close(), found.push({ kind: "rule", text: "" }));
    else if (ITEM.test(line) || (open?.kind === "list" && (/^\s+\S/.test(line) || BEGUN.test(line))))
      grow("list", line);
    else grow("text", line);
  }
  close();
  return found.map(({ kind, text: said, info }) => ({ kind, text: said, info }));
}

/** One block as an element. */
export function drawn({ kind, text, info }) {
  if (kind === "code")
    return h("pre", { class: "code-block", "data-info": info || null }, h("code", {}, ...readable(text)));
  if (kind === "heading") return h("p", { class: "heading" }, ...inline(text));
  if (kind === "rule") return h("hr");
  if (kind === "list") return list(text.split("\n"));
  return h("p", {}, ...inline(text));
}

/** Text with its emphasis. */
function inline(text, depth = 0) {
  const match = depth < 6 && text.length <= LONGEST ? INLINE.exec(text) : null;
  if (!match) return text ? readable(text, PROSE) : [];
  const [whole, , code, strong, soft, label, url] = match;
  const before = match.index ? readable(text.slice(0, match.index), PROSE) : [];
  const middle =
    code !== undefined
      ? h("code", {}, ...readable(code))
      : strong !== undefined
        ? h("strong", {}, ...inline(strong, depth + 1))
        : soft !== undefined
          ? h("em", {}, ...inline(soft, depth + 1))
          : outside(url, label);
  return [...before, middle, ...inline(text.slice(match.index + whole.length), depth)];
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    const match = ITEM.exec(line);
    if (match) items.push({ number: match[2], depth: Math.min(4, Math.floor(match[1].length / 2)), lines: [match[3]] });
    else if (!BEGUN.test(line)) items.at(-1)?.lines.push(line.trim());
  }
  const isNumbered = items[0]?.number !== undefined;
  const drawnItems = items.map((each) =>
    h("li", { class: each.depth ? `depth-${each.depth}` : null }, ...inline(each.lines.join("\n"))),
  );
  return h(
    isNumbered ? "ol" : "ul",
    isNumbered && items[0].number !== "1" ? { start: items[0].number } : {},
    ...drawnItems,
  );
}

/** A text that grows: only the blocks that changed are drawn anew, so what is selected or read stays. */
export class Prose {
  constructor() {
    this.element = h("div", { class: "prose" });
    this.shown = [];
  }

  /** @param {string} text */
  show(text) {
    const now = blocks(text);
    now.forEach((block, place) => {
      const was = this.shown[place];
      if (was?.kind === block.kind && was.text === block.text) return;
      const element = drawn(block);
      if (was) this.element.children[place].replaceWith(element);
      else this.element.append(element);
    });
    while (this.element.children.length > now.length) this.element.lastElementChild.remove();
    this.shown = now;
  }
}
