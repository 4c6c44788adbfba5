/** Where one reads: at the end while one is there, else on the very line, whatever grows above or below. */

import { h } from "./dom.js";

const NEAR_PX = 32;

/** A box that scrolls. `change` wraps everything that alters what is in it. */
export class Scroller {
  /** @param {HTMLElement} content */
  constructor(content) {
    this.isPinned = true;
    this.jump = h(
      "button",
      { type: "button", class: "jump", testid: "new-messages", on: { click: () => this.toEnd() } },
      "New messages \u2193",
    );
    this.jump.hidden = true;
    this.content = content;
    this.element = h(
      "div",
      {
        class: "scroller",
        testid: "transcript",
        tabindex: "0",
        role: "log",
        "aria-label": "Transcript",
        "aria-live": "off",
      },
      content,
    );
    this.element.addEventListener("scroll", () => this.look(), { passive: true });
    this.element.addEventListener("toggle", () => this.look(), true);
    this.sizes = new ResizeObserver(() => this.isPinned && this.toEnd());
    this.sizes.observe(this.element);
  }

  /** Ends watching. */
  close() {
    this.sizes.disconnect();
  }

  /**
   * Alters the content and keeps the place. `isNews`: worth telling somebody who reads further up.
   * @param {() => void} alter
   */
  change(alter, { isNews = true } = {}) {
    const anchor = this.isPinned ? null : this.anchor();
    const height = this.element.scrollHeight;
    alter();
    if (this.isPinned) return this.toEnd();
    if (anchor?.element.isConnected) this.element.scrollTop += anchor.element.getBoundingClientRect().top - anchor.top;
    if (isNews && this.element.scrollHeight > height) this.jump.hidden = false;
  }

  /** To the newest. */
  toEnd() {
    this.isPinned = true;
    this.jump.hidden = true;
    this.element.scrollTop = this.element.scrollHeight;
  }

  look() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    this.isPinned = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.isPinned) this.jump.hidden = true;
  }

  /** The innermost block at the upper edge of what is seen: what one reads must not move. */
  anchor() {
    const top = this.element.getBoundingClientRect().top;
    let found = null;
    let children = this.content.children;
    while (children) {
      const first = [...children].find((each) => !each.matches("button") && each.getBoundingClientRect().bottom > top);
      if (!first) break;
      found = first;
      // a list of messages grows at its top too
      const isWithin = first.matches(".messages") || first.getBoundingClientRect().top < top;
      children = first.children.length && isWithin ? first.children : null;
    }
    return found && { element: found, top: found.getBoundingClientRect().top };
  }
}
