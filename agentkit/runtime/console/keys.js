/** The keyboard: one key, one deed, never while somebody types. */

import { h } from "./dom.js";

const KEYS = [
  ["j  k  \u2193  \u2191", "next, previous"],
  ["Enter", "open"],
  ["a", "approve (run again)"],
  ["e", "edit"],
  ["r", "reject (with the note)"],
  ["v", "respond"],
  ["w", "always allow"],
  ["n", "write a note"],
  ["/", "filter"],
  ["g i  g c  g t  g u", "inbox, chats, tasks, usage"],
  ["Esc", "close, leave a field"],
  ["?", "this help"],
];
const DEEDS = { a: "approve", e: "edit", r: "reject", v: "respond", w: "always" };
const PAGES = { i: "/console/inbox", c: "/console/chats", t: "/console/tasks", u: "/console/usage" };
const CHORD_MS = 1_200;

/** Listens for as long as the page lives. `isOn`: whether there is anything to steer. */
export class Keys {
  /** @param {{go: (path: string) => void, isOn: () => boolean}} options */
  constructor({ go, isOn }) {
    this.go = go;
    this.isOn = isOn;
    this.chordUntil = 0;
    const rows = KEYS.map(([key, told]) => [
      h("dt", {}, ...key.split("  ").map((each) => h("kbd", { text: each }))),
      h("dd", { text: told }),
    ]);
    const close = h("button", { type: "button", text: "Close", on: { click: () => this.help.close() } });
    this.help = h(
      "dialog",
      { class: "help", "aria-label": "Keys", testid: "help" },
      h("h2", { text: "Keys" }),
      h("dl", {}, ...rows),
      close,
    );
    document.body.append(this.help);
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (
      event.metaKey ||
      event.ctrlKey ||
      event.altKey ||
      event.repeat ||
      event.isComposing ||
      !this.isOn() ||
      this.help.open
    )
      return;
    if (event.key === "Escape") return this.escape();
    if (isTyping(event.target)) return;
    if (this.act(event)) event.preventDefault();
  }

  act(event) {
    const { key } = event;
    if (performance.now() < this.chordUntil && PAGES[key]) return ((this.chordUntil = 0), this.go(PAGES[key]), true);
    if (key === "g") return ((this.chordUntil = performance.now() + CHORD_MS), true);
    if (key === "?") return (this.help.showModal(), true);
    if (key === "/") return focus(document.querySelector("main [data-filter]"));
    if (key === "j" || key === "ArrowDown") return this.move(1, key);
    if (key === "k" || key === "ArrowUp") return this.move(-1, key);
    const card = current()?.card;
    if (!card) return false;
    if (key === "n") return focus(card.note);
    if (key === "Enter" && event.target === card.element) return (this.openChat(card), true);
    if (DEEDS[key]) return (card.press(DEEDS[key]), true);
    return false;
  }

  openChat(card) {
    card.element.querySelector("a.open")?.click();
  }

  /** To the next row. The arrows scroll a text that is focused, as ever. */
  move(by, key) {
    const all = [...document.querySelectorAll("main [data-row]")];
    const place = all.indexOf(current());
    if (all.length === 0 || (key.startsWith("Arrow") && document.activeElement?.closest(".scroller") && place === -1))
      return false;
    const next = place === -1 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, place + by));
    all[next].focus({ preventScroll: true });
    all[next].scrollIntoView({ block: "nearest" });
    return true;
  }

  /** Closes what is open, the innermost first; leaves the field that somebody types in. */
  escape() {
    const row = current();
    if (isTyping(document.activeElement) && row?.card) return row.focus();
    if (row?.card?.shut({ isKept: true })) return;
    document.activeElement?.blur?.();
  }
}

function current() {
  return document.activeElement?.closest("[data-row]") ?? null;
}

function focus(element) {
  element?.focus();
  element?.select?.();
  return Boolean(element);
}

function isTyping(target) {
  return (
    target instanceof Element &&
    (target.matches("textarea, select, [contenteditable]") ||
      (target.matches("input") && !["checkbox", "radio", "button"].includes(target.type)))
  );
}
