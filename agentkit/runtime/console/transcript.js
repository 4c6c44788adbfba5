/** A conversation as elements: kept where they are while it grows. */

import { fileContent } from "./api.js";
import { areArguments, brief, folded, readable, rows, value } from "./arguments.js";
import { callsOf, isFinal, textOf } from "./conversation.js";
import { arrange, fill, h, link, outside, say } from "./dom.js";
import { isObject, parse, write } from "./json.js";
import { Prose } from "./markdown.js";
import { written } from "./times.js";

const PROSE = { lenient: true };
const ROLES = {
  user: "User",
  assistant: "Agent",
  system: "System",
  tool: "Tool",
  injection: "Added",
  compaction: "Summary",
  event: "Event",
};
const STATUSES = {
  pending: "pending",
  in_progress: "running",
  awaiting_input: "waits for its program",
  awaiting_approval: "waits for approval",
  completed: "done",
  failed: "failed",
  cancelled: "not run",
  waiting: "waits",
  writing: "being written",
};
const FILE = /^inf:\/\/files\/([^/]+)\/(.*)$/;

/**
 * What the views need of the page around them.
 * @typedef {{cardOf: (invocationId: string) => import("./card.js").Card|null, loadChild: (invocation: Object) => void,
 *   loadResult: (invocation: Object) => void}} Surroundings
 */

/** The messages of one conversation. */
export class Transcript {
  /** @param {Surroundings} around */
  constructor(around, { isBelow = false } = {}) {
    this.around = around;
    this.isBelow = isBelow;
    this.views = new Map();
    this.element = h("div", { class: isBelow ? "messages is-below" : "messages" });
  }

  /** @param {import("./conversation.js").Conversation} conversation */
  show(conversation) {
    const calls = new Set(
      [...conversation.messages.values()].flatMap((each) =>
        (each.tool_invocations ?? []).map((call) => call.tool_invocation_id),
      ),
    );
    const messages = conversation.ordered().filter((each) => !(each.role === "tool" && calls.has(each.tool_call_id)));
    const elements = messages.map((message) => {
      const view =
        this.views.get(message.id) ?? this.views.set(message.id, new MessageView(message, this.around)).get(message.id);
      view.show(message, conversation);
      return view.element;
    });
    arrange(this.element, elements);
  }
}

/** One message. */
class MessageView {
  constructor(message, around) {
    this.around = around;
    this.calls = new Map();
    this.prose = new Prose();
    this.thought = null;
    this.status = h("span", { class: "status" });
    const head = h(
      "div",
      { class: "by" },
      h("span", { class: "role", text: ROLES[message.role] ?? message.role }),
      h("time", { class: "muted", title: written(message.created_at), text: clock(message.created_at) }),
      this.status,
    );
    this.before = h("div", {});
    this.files = h("div", { class: "files" });
    this.problem = h("p", { class: "problem" });
    this.list = h("div", { class: "calls" });
    this.element = h(
      "section",
      { class: `message is-${message.role}`, testid: "message", data: { id: message.id, role: message.role } },
      head,
      this.before,
      this.prose.element,
      this.files,
      this.problem,
      this.list,
    );
  }

  show(message, conversation) {
    if (this.message !== message) this.showSaid(message);
    this.message = message;
    const made = callsOf(message);
    const elements = made.map((call) => {
      const view = this.calls.get(call.id) ?? this.calls.set(call.id, new CallView(call, this.around)).get(call.id);
      view.show(call, conversation);
      return view.element;
    });
    arrange(this.list, elements);
    const isQuiet =
      message.role === "assistant" &&
      isFinal(message) &&
      !textOf(message) &&
      !textOf(message, "reasoning") &&
      made.length > 0;
    this.element.classList.toggle("is-quiet", isQuiet);
  }

  showSaid(message) {
    this.element.dataset.status = message.status;
    say(
      this.status,
      {
        pending: message.role === "assistant" ? "writing\u2026" : "",
        queued: "queued",
        failed: "failed",
        cancelled: "stopped",
      }[message.status] ?? "",
    );
    this.showThought(textOf(message, "reasoning"));
    this.prose.show(textOf(message));
    const parts = message.content ?? [];
    const shown = parts
      .filter((each) => (each.type === "image" && each.image) || (each.type === "file" && each.file))
      .map((each) => [each.type, each[each.type]]);
    if (JSON.stringify(shown) !== this.shownFiles)
      fill(this.files, ...shown.map(([type, uri]) => file(uri, { isImage: type === "image" })));
    this.shownFiles = JSON.stringify(shown);
    say(
      this.problem,
      parts
        .map((each) => each.error)
        .filter(Boolean)
        .join(" "),
    );
  }

  showThought(text) {
    if (!text) return;
    if (!this.thought) {
      this.thought = new Prose();
      this.before.append(h("details", { class: "thought" }, h("summary", { text: "Reasoning" }), this.thought.element));
    }
    this.thought.show(text);
  }
}

/** One tool call: what it was called with, how far it is, what came of it, and the agents below it. */
class CallView {
  constructor(call, around) {
    this.around = around;
    this.status = h("span", { class: "status" });
    this.name = h("span", { class: "tool" });
    this.short = h("span", { class: "args" });
    this.by = h("span", { class: "muted" });
    this.args = h("div", {});
    this.progress = h("p", { class: "muted", role: "status" });
    this.result = h("div", { class: "result" });
    this.below = h("div", {});
    this.card = h("div", {});
    const head = h("summary", {}, this.name, this.short, this.status, this.by);
    this.details = h("details", { class: "call-details" }, head, this.args, this.result);
    this.element = h(
      "div",
      { class: "call", testid: "tool-call", data: { id: call.id } },
      this.details,
      this.progress,
      this.card,
      this.below,
    );
    this.transcripts = new Map();
  }

  show(call, conversation) {
    if (this.call !== call) this.showCall(call);
    this.call = call;
    const told = call.status === "in_progress" ? conversation.progress.get(call.id) : null;
    say(
      this.progress,
      told
        ? [
            told.message,
            told.progress !== null && told.progress !== undefined
              ? `${told.progress}${told.total ? ` of ${told.total}` : ""}`
              : "",
          ]
            .filter(Boolean)
            .join(" \u2014 ")
        : "",
    );
    this.showCard(this.around.cardOf(call.id));
    this.showBelow(call, conversation);
  }

  showCall(call) {
    const { name = "", arguments: args = {} } = call.function ?? {};
    if (this.shownName !== name) fill(this.name, ...readable(name || call.display_name || "tool"));
    this.shownName = name;
    this.element.dataset.status = call.status;
    say(this.status, STATUSES[call.status] ?? call.status);
    say(this.by, call.approved_by ? `approved by ${call.approved_by}` : "");
    const key = write(args);
    if (key !== this.shownArgs) {
      fill(this.short, ...brief(args));
      fill(this.args, areArguments(args) ? rows(args) : value(String(args)));
    }
    this.shownArgs = key;
    this.showOutcome(call);
  }

  showOutcome(call) {
    const key = `${call.result?.length}.${call.result_cut}.${call.status}.${call.attachments?.length}`;
    if (key !== this.shownResult) this.showResult(call);
    this.shownResult = key;
  }

  showResult(call) {
    const { result, attachments } = call;
    if (call.status === "failed" || call.status === "cancelled") this.details.open = true;
    const parts = [];
    if (result !== null && result !== undefined)
      parts.push(h("h5", { text: call.status === "failed" ? "Error" : "Result" }), resultOf(result));
    if (call.result_cut)
      parts.push(
        h("button", {
          type: "button",
          class: "quiet",
          text: "Load all of it",
          on: { click: () => this.around.loadResult(call) },
        }),
      );
    for (const each of attachments ?? [])
      if (each.uri)
        parts.push(file(each.uri, { name: each.filename, isImage: (each.content_type ?? "").startsWith("image/") }));
    if (call.type === "app" && call.execution_id)
      parts.push(h("p", {}, link(`/console/tasks/${call.execution_id}`, "Open the task")));
    fill(this.result, ...parts);
  }

  showCard(card) {
    const now = card?.element ?? null;
    if (this.card.firstElementChild !== now) this.card.replaceChildren(...(now ? [now] : []));
  }

  /** The agents that work for this call: live where the stream tells of them, else on demand. */
  showBelow(call, conversation) {
    const isAgent = call.type === "agent" && call.execution_id;
    if (!isAgent && !conversation.below.has(call.id)) return;
    if (!this.box) {
      const open = h("span", {}, isAgent ? link(`/console/chats/${call.execution_id}`, "open its chat") : null);
      this.box = h("details", { class: "below" }, h("summary", {}, "Sub-agent ", open));
      this.box.addEventListener("toggle", () => this.box.open && this.around.loadChild(this.call));
      if (!["completed", "failed", "cancelled"].includes(call.status)) this.box.open = true;
      this.below.append(this.box);
    }
    for (const [chatId, below] of conversation.below.get(call.id) ?? []) {
      if (!this.transcripts.has(chatId)) {
        const transcript = new Transcript(this.around, { isBelow: true });
        this.transcripts.set(chatId, transcript);
        this.box.append(transcript.element);
      }
      this.transcripts.get(chatId).show(below);
    }
  }
}

function resultOf(result) {
  let found = result;
  if (/^\s*[[{]/.test(result) && result.length < 200_000) {
    try {
      found = parse(result);
    } catch {
      found = result;
    }
  }
  if (isObject(found)) return found === result ? value(found) : rows(found);
  const shown = value(found);
  return typeof found === "object" && result.length > 1_500
    ? folded(shown, `${result.length.toLocaleString()} characters`)
    : shown;
}

/** A file: ours is fetched on demand, anybody else's is a link at most. */
function file(uri, { name, isImage = false } = {}) {
  const ours = FILE.exec(uri);
  if (/^data:image\/(png|jpeg|gif|webp);base64,/.test(uri))
    return h("img", { src: uri, alt: name ?? "image", loading: "lazy" });
  if (!ours) return h("p", {}, outside(uri, name ?? uri));
  const label = name || decoded(ours[2]) || "file";
  const box = h("p", {});
  const button = h("button", { type: "button", class: "quiet", text: isImage ? `Show ${label}` : `Save ${label}` });
  const problem = h("span", { class: "problem", role: "alert" });
  button.addEventListener("click", async () => {
    try {
      const url = URL.createObjectURL(await fileContent(ours[1]));
      if (isImage) return box.replaceChildren(h("img", { src: url, alt: label }));
      h("a", { href: url, download: label }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      say(problem, error.message);
    }
  });
  box.append(button, problem);
  return box;
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function clock(moment) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
}
