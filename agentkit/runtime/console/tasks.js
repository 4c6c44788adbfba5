/** Tasks: the list, and one with its input, output and logs as they come. */

import { ApiError, at, post } from "./api.js";
import { areArguments, readable, rows, value } from "./arguments.js";
import { Listing } from "./chats.js";
import { fill, h, link, say } from "./dom.js";
import { same } from "./json.js";
import { Scroller } from "./scroller.js";
import { Stream } from "./stream.js";
import { ago, briefly, tick, written } from "./times.js";

const STATUSES = [
  "unknown",
  "received",
  "queued",
  "dispatched",
  "preparing",
  "serving",
  "setting up",
  "running",
  "cancelling",
  "uploading",
  "completed",
  "failed",
  "cancelled",
];
const FIRST_OVER = 10;
const PHASES = ["build", "run", "serve", "setup", "task"];

/** A status in words. */
export const nameOf = (status) => STATUSES[status] ?? String(status);

/** Whether nothing more happens. */
const isOver = (status) => Number(status) >= FIRST_OVER;

/** The list. */
export class Tasks extends Listing {
  constructor() {
    super({
      title: "Tasks",
      path: "/tasks/list",
      body: () => ({ sort: [{ field: "created_at", dir: "desc" }] }),
      row: taskRow,
      empty: "There are no tasks yet. Every run of an app is one.",
      place: (task) => task.created_at,
    });
  }
}

function appOf(task) {
  const { app } = task;
  return app?.name ? `${app.namespace ? `${app.namespace}/` : ""}${app.name}` : task.app_id;
}

/** How long it took, or has taken so far. */
function duration(task) {
  const end = isOver(task.status) ? Date.parse(task.updated_at) : Date.now();
  const last = (task.events ?? []).findLast((each) => isOver(each.status));
  return briefly(Math.max(0, (last ? Date.parse(last.event_time) : end) - Date.parse(task.created_at)));
}

function taskRow(task) {
  const status = h("span", { class: "status" });
  const took = h("span", { class: "muted took" });
  const time = h("time", { class: "muted" });
  const anchor = link(`/console/tasks/${task.id}`, "", { data: { row: "" }, testid: "task-row" });
  const called = task.function && task.function !== "run" ? ` : ${task.function}` : "";
  anchor.append(
    status,
    h("span", { class: "name" }, ...readable(appOf(task) + called)),
    took,
    h("code", { class: "id", text: task.short_id || task.id.slice(0, 8) }),
    time,
  );
  let shown = null;
  return {
    element: h("li", {}, anchor),
    update(now) {
      if (shown === now.updated_at) return;
      shown = now.updated_at;
      say(status, nameOf(now.status));
      status.dataset.status = nameOf(now.status);
      tick(took, () => duration(now));
      ago(time, now.created_at);
    },
  };
}

/** One task. */
export class Task {
  title = () => "Task";

  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.task = null;
    this.printed = new Map(); // what is shown of each phase
    this.heading = h("h1", { text: "Task" });
    this.status = h("span", { class: "status", testid: "task-status", role: "status" });
    this.live = h("span", { class: "muted" });
    this.cancel = h("button", { type: "button", testid: "cancel", text: "Cancel", on: { click: () => this.end() } });
    this.cancel.hidden = true;
    this.problem = h("p", { class: "problem", role: "alert" });
    this.facts = h("dl", { class: "facts" });
    this.input = h("div", {});
    this.output = h("div", {});
    this.lines = h("div", { class: "log" });
    this.logs = new Scroller(this.lines);
    this.logs.element.dataset.testid = "logs";
    this.logs.element.setAttribute("aria-label", "Logs");
    this.logs.jump.textContent = "New lines \u2193";
    this.logs.jump.dataset.testid = "new-lines";
    const part = (title, element) => h("section", { class: "part" }, h("h2", { text: title }), element);
    this.element = h(
      "div",
      { class: "page task" },
      h(
        "div",
        { class: "head" },
        link("/console/tasks", "Tasks", { class: "back" }),
        this.heading,
        this.status,
        this.live,
        this.cancel,
      ),
      this.problem,
      this.facts,
      part("Input", this.input),
      part("Output", this.output),
      part("Logs", h("div", { class: "stage" }, this.logs.element, this.logs.jump)),
    );
  }

  open() {
    return new Promise((resolve) => {
      this.stream = new Stream(at`/tasks/${this.id}/stream`, {
        onItem: (item) => (this.take(item), resolve()),
        onState: (state) => {
          say(this.live, { waiting: "reconnecting", hidden: "paused" }[state] ?? "");
          if (state === "refused") say(this.problem, "There is no such task (any more).");
          if (state === "refused" || state === "over") resolve();
        },
        ends: true,
      });
    });
  }

  close() {
    this.stream.close();
    this.logs.close();
  }

  take(item) {
    const now = item.data && item.fields ? { ...this.task, ...item.data } : (item.data ?? item);
    if (now.status === undefined) return;
    const was = this.task;
    this.task = now;
    if (!was) this.showFixed(now);
    say(this.status, nameOf(now.status));
    this.status.dataset.status = nameOf(now.status);
    this.cancel.hidden = isOver(now.status);
    if (now.error) say(this.problem, now.error);
    if (!was || !same(was.output, now.output))
      fill(this.output, shown(now.output, isOver(now.status) ? "None." : "None yet."));
    this.logs.change(() => this.showLogs(now.logs ?? []));
  }

  showFixed(task) {
    fill(this.heading, ...readable(appOf(task)));
    fill(this.input, shown(task.input, "None."));
    const facts = [
      ["Id", h("code", { text: task.id })],
      ["Began", h("time", { datetime: task.created_at, text: written(task.created_at) })],
      ["Took", tick(h("span", {}), () => duration(this.task))],
      ["Function", task.function || null],
      ["Session", task.session_id],
      ["Chat", task.chat_id ? link(`/console/chats/${task.chat_id}`, task.chat_id.slice(0, 8)) : null],
    ];
    fill(
      this.facts,
      ...facts
        .filter(([, each]) => each)
        .map(([name, each]) => h("div", {}, h("dt", { text: name }), h("dd", {}, each))),
    );
  }

  showLogs(logs) {
    const parts = Array.isArray(logs) ? logs : [logs];
    const said = parts.map((each) =>
      typeof each === "string" ? ["", each] : [PHASES[each.log_type] ?? "", decoded(each.content)],
    );
    if (said.length === 0 && this.lines.childElementCount === 0)
      return fill(this.lines, h("p", { class: "muted", text: "Nothing printed." }));
    said.forEach(([phase, text], place) => {
      const was = this.lines.children[place];
      const known = was?.dataset.phase === phase ? (this.printed.get(place) ?? "") : "";
      this.printed.set(place, text);
      if (known !== "" && text.startsWith(known)) {
        const more = readable(text.slice(known.length), { lenient: true });
        return was.querySelector("pre").append(...more);
      }
      const now = h(
        "div",
        { data: { phase } },
        phase && h("h5", { text: phase }),
        h("pre", {}, ...readable(text, { lenient: true })),
      );
      if (was) was.replaceWith(now);
      else this.lines.append(now);
    });
    while (said.length && this.lines.childElementCount > said.length) this.lines.lastElementChild.remove();
  }

  async end() {
    this.cancel.disabled = true;
    try {
      await post(at`/tasks/${this.id}/cancel`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.problem, error.message);
    } finally {
      this.cancel.disabled = false;
    }
  }
}

function shown(given, nothing) {
  if (given === null || given === undefined) return h("p", { class: "muted", text: nothing });
  return areArguments(given) ? rows(given) : value(given);
}

function decoded(content) {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(content), (each) => each.charCodeAt(0)));
  } catch {
    return content;
  }
}
