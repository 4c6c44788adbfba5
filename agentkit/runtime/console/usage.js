/** Usage: what the API has of it, and no more: the pool, and what the newest chats' last runs cost in tokens. */

import { get, post } from "./api.js";
import { readable } from "./arguments.js";
import { fill, h, link, say } from "./dom.js";
import { nameOf } from "./tasks.js";

const MOST = 100; // looked at; the API counts nothing by itself
const POLL_MS = 10_000;
const TOKENS = ["prompt_tokens", "completion_tokens", "total_tokens"];

/** The page. */
export class Usage {
  title = () => "Usage";

  constructor() {
    this.pool = h("div", {});
    this.tasks = h("div", {});
    this.tokens = h("div", {});
    this.problem = h("p", { class: "problem", role: "alert" });
    const part = (title, element) => h("section", { class: "part" }, h("h2", { text: title }), element);
    this.element = h(
      "div",
      { class: "page" },
      h("div", { class: "head" }, h("h1", { text: "Usage" })),
      this.problem,
      part("Workers", this.pool),
      part(`The newest ${MOST} tasks`, this.tasks),
      part(`Tokens: the last run of each of the newest ${MOST} chats`, this.tokens),
    );
  }

  async open() {
    await this.refresh();
    this.timer = setInterval(() => document.visibilityState === "visible" && this.refresh(), POLL_MS);
  }

  close() {
    clearInterval(this.timer);
  }

  async refresh() {
    const list = { limit: MOST, sort: [{ field: "created_at", dir: "desc" }] };
    const found = await Promise.allSettled([
      get("/fleet").then((fleet) => this.showPool(fleet)),
      post("/tasks/list", list).then((page) => this.showTasks(page)),
      post("/chats/list", { ...list, sort: [{ field: "updated_at", dir: "desc" }] }).then((page) =>
        this.showTokens(page),
      ),
    ]);
    say(
      this.problem,
      [...new Set(found.filter((each) => each.status === "rejected").map((each) => each.reason.message))].join(" "),
    );
  }

  showPool(fleet) {
    const busy = (fleet.workers ?? []).filter((each) => each.state === "busy").length;
    const counters = Object.entries(fleet.counters ?? {}).map(([name, count]) => [name.replaceAll("_", " "), count]);
    fill(
      this.pool,
      numbers([
        ["places", fleet.size],
        ["workers", (fleet.workers ?? []).length],
        ["busy", busy],
        ["queued", fleet.queued],
      ]),
      h("p", { class: "about", text: "Since the server started:" }),
      numbers(counters),
    );
  }

  showTasks({ items, has_next: isMore }) {
    const counts = new Map();
    for (const each of items) counts.set(nameOf(each.status), (counts.get(nameOf(each.status)) ?? 0) + 1);
    fill(
      this.tasks,
      items.length ? numbers([...counts]) : h("p", { class: "muted", text: "No tasks." }),
      isMore ? h("p", { class: "about", text: "Older ones are not counted." }) : null,
    );
  }

  showTokens({ items, has_next: isMore }) {
    const counted = items
      .map((chat) => [chat, chat.active_run?.metadata?.usage])
      .filter(([, usage]) => usage && TOKENS.some((name) => Number.isFinite(usage[name])));
    if (counted.length === 0)
      return fill(this.tokens, h("p", { class: "muted", text: "None of them says what it cost." }));
    const sum = (name) => counted.reduce((total, [, usage]) => total + (usage[name] ?? 0), 0);
    const row = (first, usage) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, first),
        ...TOKENS.map((name) => h("td", { text: (usage[name] ?? 0).toLocaleString() })),
      );
    const rows = counted.slice(0, 20).map(([chat, usage]) => row(link(`/console/chats/${chat.id}`, ""), usage));
    rows.forEach((each, place) =>
      each
        .querySelector("a")
        .append(...readable(counted[place][0].name || counted[place][0].id.slice(0, 8), { lenient: true })),
    );
    const total = row("All of them", Object.fromEntries(TOKENS.map((name) => [name, sum(name)])));
    const head = h(
      "tr",
      {},
      h("th", { scope: "col", text: "Chat" }),
      ...["In", "Out", "Together"].map((text) => h("th", { scope: "col", text })),
    );
    fill(
      this.tokens,
      h("div", { class: "wide" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows), h("tfoot", {}, total))),
      isMore ? h("p", { class: "about", text: "Older chats, and earlier runs of these, are not counted." }) : null,
    );
  }
}

function numbers(entries) {
  return h(
    "dl",
    { class: "numbers" },
    ...entries.map(([name, count]) =>
      h("div", {}, h("dt", { text: name }), h("dd", { text: Number(count ?? 0).toLocaleString() })),
    ),
  );
}
