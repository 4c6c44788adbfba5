/** The list of chats, the one that changed last first. */

import { ApiError, post } from "./api.js";
import { readable } from "./arguments.js";
import { arrange, h, link, say } from "./dom.js";
import { isOf, questions } from "./questions.js";
import { ago } from "./times.js";

const POLL_MS = 5_000;
const LIMIT = 30;
const WORDS = { busy: "working", awaiting_input: "waits", idle: "idle", completed: "done", waiting: "waits" };

/** A list that is fetched page by page, and whose first page is kept fresh. */
export class Listing {
  /**
   * @param {{title: string, path: string, body: () => Object, empty: string, place: (item: any) => string,
   *   row: (item: any) => {element: HTMLElement, update: (item: any) => void}}} options
   *   `place`: what the items are sorted by, greatest first
   */
  constructor({ title, path, body, row, empty, place }) {
    Object.assign(this, { heading: title, path, body, row, emptyText: empty, place });
    this.items = new Map();
    this.rows = new Map();
    this.cursor = "";
    this.term = "";
    this.pages = 1;
    this.field = h("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": `Filter the ${title.toLowerCase()}`,
      testid: "filter",
      data: { filter: "" },
    });
    this.field.addEventListener("input", () => this.search());
    this.list = h("ul", { class: "rows" });
    this.status = h("p", { class: "empty", role: "status" });
    this.more = h("button", {
      type: "button",
      testid: "more",
      text: "Show older ones",
      on: { click: () => this.next() },
    });
    this.more.hidden = true;
    this.element = h(
      "div",
      { class: "page" },
      h("div", { class: "head" }, h("h1", { text: title }), this.field),
      this.list,
      this.status,
      this.more,
    );
  }

  title = () => this.heading;

  async open() {
    say(this.status, "Loading\u2026");
    await this.refresh();
    this.timer = setInterval(() => document.visibilityState === "visible" && this.refresh(), POLL_MS);
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.typing);
  }

  search() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.term = this.field.value.trim();
      this.items.clear();
      this.pages = 1;
      this.refresh();
    }, 200);
  }

  /** Fetches the first page anew. */
  async refresh() {
    const page = await this.fetch();
    if (page === null) return;
    if (this.pages === 1) {
      this.items.clear();
      this.cursor = page.has_next ? page.next_cursor : "";
    }
    this.take(page.items);
  }

  /** Fetches the next page. */
  async next() {
    this.more.disabled = true;
    const page = await this.fetch(this.cursor);
    this.more.disabled = false;
    if (page === null) return;
    this.pages++;
    this.cursor = page.has_next ? page.next_cursor : "";
    this.take(page.items);
  }

  async fetch(cursor) {
    const { term } = this;
    try {
      const page = await post(this.path, {
        ...this.body(),
        limit: LIMIT,
        ...(cursor ? { cursor } : {}),
        ...(term ? { search: { term } } : {}),
      });
      return term === this.term ? page : null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.status, error.message);
      return null;
    }
  }

  take(items) {
    for (const each of items) this.items.set(each.id, each);
    this.render();
  }

  render() {
    const sorted = [...this.items.values()].sort((one, other) => (this.place(one) < this.place(other) ? 1 : -1));
    const elements = sorted.map((each) => {
      const row = this.rows.get(each.id) ?? this.rows.set(each.id, this.row(each)).get(each.id);
      row.update(each);
      return row.element;
    });
    arrange(this.list, elements);
    say(this.status, elements.length ? "" : this.term ? "Nothing fits the filter." : this.emptyText);
    this.more.hidden = this.cursor === "";
  }
}

/** The page. */
export class Chats extends Listing {
  constructor() {
    super({
      title: "Chats",
      path: "/chats/list",
      body: () => ({
        sort: [{ field: "updated_at", dir: "desc" }],
        filters: [{ field: "parent_id", operator: "is_null", value: null }],
      }),
      row: chatRow,
      empty: "There are no chats yet. They appear here as soon as an agent is run.",
      place: (chat) => chat.updated_at,
    });
  }
}

/** What a chat's status is called. */
export const chatStatus = (chat) => WORDS[chat.status] ?? chat.status;

function chatRow(chat) {
  const name = h("span", { class: "name" });
  const status = h("span", { class: "status" });
  const time = h("time", { class: "muted" });
  const waits = h("span", { class: "waits" });
  const anchor = link(`/console/chats/${chat.id}`, "", { data: { row: "" }, testid: "chat-row" });
  anchor.append(status, name, waits, h("code", { class: "id", text: chat.short_id || chat.id.slice(0, 8) }), time);
  let shown = "";
  return {
    element: h("li", {}, anchor),
    update(now) {
      if (shown === now.updated_at + now.status) return;
      shown = now.updated_at + now.status;
      name.replaceChildren(...readable(now.name || "(no name)", { lenient: true }));
      say(status, chatStatus(now));
      status.dataset.status = now.status;
      const count =
        (now.pending_interrupts ?? []).length || questions.pending().filter((each) => isOf(each, now.id)).length;
      say(waits, count ? `${count} to answer` : "");
      ago(time, now.updated_at);
    },
  };
}
